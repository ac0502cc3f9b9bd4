-- Moves commands whose attempt ended them to the finished ones. A row missing from the answer had lost its lease.
WITH ended AS (
    SELECT *, 'started' AS was, :now AS moment
    FROM json_to_recordset(:rows) AS row (
        id uuid, lease_number bigint, state text, retention text, result json, error jsonb, recovery json
    )
    -- No limit, but the planner reckons with fewer: it looks them up by key, whatever it knows of the table.
    LIMIT (SELECT NULL::bigint)
),
moved AS (
    DELETE FROM durex.commands AS command
    USING ended
    WHERE command.id = ended.id
      AND command.lease_number = ended.lease_number
      AND command.state = ended.was
      AND command.lease_expires_at > ended.moment
    RETURNING command.*, ended.state AS ended_state, ended.retention, ended.result, ended.error, ended.recovery
)
INSERT INTO durex.finished_commands (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, finished_at,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    retention, payload, backoff, tags, history, result, error, deadline_at, expires_at, extras, progress, join_id,
    awaits, children, recovery
)
SELECT
    id, name, queue, ended_state, priority, ready_at, attempt, retries, run, lease_number, started_at, :now,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    retention, payload, backoff, tags, history, result, error, deadline_at, expires_at, extras, progress, join_id,
    awaits, children, recovery
FROM moved
RETURNING id, lease_number
