-- Files the run that ended among the finished ones and opens the next one, which waits for its delay. A row missing
-- from the answer had lost its lease.
WITH ended AS (
    SELECT *, 'started' AS was, :now AS moment
    FROM json_to_recordset(:rows) AS row (
        id uuid, lease_number bigint, state text, delay_seconds double precision, result json, payload json,
        has_payload boolean
    )
    -- No limit, but the planner reckons with fewer: it looks them up by key, whatever it knows of the table.
    LIMIT (SELECT NULL::bigint)
),
held AS MATERIALIZED (
    SELECT command.*, ended.state AS next_state, ended.result, ended.payload AS next_payload, ended.has_payload,
           :now + make_interval(secs => ended.delay_seconds) AS next_ready_at
    FROM durex.commands AS command
    JOIN ended ON command.id = ended.id AND command.lease_number = ended.lease_number
    WHERE command.state = ended.was AND command.lease_expires_at > ended.moment
    FOR UPDATE OF command
),
filed AS (
    INSERT INTO durex.finished_commands (
        id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, finished_at,
        created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
        retention, payload, backoff, tags, history, result, error, deadline_at, expires_at, extras, progress, join_id,
        awaits, children, recovery
    )
    SELECT
        id, name, queue, 'completed', priority, ready_at, attempt, retries, run, lease_number, started_at, :now,
        created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
        'completed', payload, backoff, tags, history, result, NULL, deadline_at, expires_at, extras, progress, join_id,
        awaits, children, NULL
    FROM held
)
UPDATE durex.commands AS command
SET state = held.next_state,
    run = command.run + 1,
    attempt = 0,
    ready_at = held.next_ready_at,
    deadline_at = bound.deadline_at,
    expires_at = least(
        bound.deadline_at,
        held.next_ready_at + make_interval(secs => (command.extras ->> 'start_within_seconds')::float8)
    ),
    payload = CASE WHEN held.has_payload THEN held.next_payload ELSE command.payload END,
    lease_expires_at = NULL,
    started_at = NULL,
    worker = NULL,
    history = jsonb_build_array(jsonb_build_object(
        'outcome', 'repeating', 'attempt', command.attempt, 'lease_number', command.lease_number,
        'worker', command.worker, 'started_at', command.started_at, 'ended_at', :now
    )),
    progress = NULL,
    compensations = NULL,
    children = NULL
FROM held CROSS JOIN LATERAL (
    SELECT coalesce(
        held.next_ready_at + make_interval(secs => (held.extras ->> 'deadline_seconds')::float8), held.deadline_at
    ) AS deadline_at
) AS bound
WHERE command.id = held.id
RETURNING command.id, command.lease_number
