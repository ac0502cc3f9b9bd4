-- Files the run that ended among the finished ones and opens the next one, which waits for its delay. A row missing
-- from the answer had lost its lease.
INSERT INTO finished_commands (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, finished_at,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    retention, payload, backoff, tags, history, result, error, deadline_at, expires_at, extras, progress, join_id,
    awaits, children, recovery
)
SELECT
    commands.id, name, queue, 'completed', priority, ready_at, attempt, retries, run, lease_number, started_at, :now,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    'completed', payload, backoff, tags, history, ended.value -> 'result', NULL, deadline_at, expires_at, extras,
    progress, join_id, awaits, children, NULL
FROM json_each(:rows) AS ended
JOIN commands
  ON commands.id = ended.value ->> 'id'
 AND commands.lease_number = ended.value ->> 'lease_number'
 AND commands.state = 'started'
 AND commands.lease_expires_at > :now;

UPDATE commands
SET state = next.state,
    run = run + 1,
    attempt = 0,
    ready_at = next.ready_at,
    deadline_at = next.deadline_at,
    expires_at = min(coalesce(next.deadline_at, next.start_by), coalesce(next.start_by, next.deadline_at)),
    payload = CASE WHEN next.has_payload THEN next.payload ELSE commands.payload END,
    lease_expires_at = NULL,
    started_at = NULL,
    worker = NULL,
    history = json_array(json_object(
        'outcome', 'repeating', 'attempt', attempt, 'lease_number', commands.lease_number, 'worker', worker,
        'started_at', started_at, 'ended_at', :now
    )),
    progress = NULL,
    compensations = NULL,
    children = NULL
FROM (
    SELECT
        held.id, held.lease_number, ended.value ->> 'state' AS state, moment.ready_at,
        coalesce(
            moment.ready_at + CAST(round((held.extras ->> 'deadline_seconds') * 1000000) AS INTEGER), held.deadline_at
        ) AS deadline_at,
        moment.ready_at + CAST(round((held.extras ->> 'start_within_seconds') * 1000000) AS INTEGER) AS start_by,
        ended.value ->> 'has_payload' AS has_payload, ended.value -> 'payload' AS payload
    FROM json_each(:rows) AS ended
    JOIN commands AS held ON held.id = ended.value ->> 'id'
    JOIN (
        SELECT
            value ->> 'id' AS id, value ->> 'lease_number' AS lease_number,
            :now + CAST(round((value ->> 'delay_seconds') * 1000000) AS INTEGER) AS ready_at
        FROM json_each(:rows)
    ) AS moment ON moment.id = held.id AND moment.lease_number = ended.value ->> 'lease_number'
    WHERE held.lease_number = ended.value ->> 'lease_number'
) AS next
WHERE commands.id = next.id
  AND commands.lease_number = next.lease_number
  AND commands.state = 'started'
  AND commands.lease_expires_at > :now
RETURNING commands.id, commands.lease_number;
