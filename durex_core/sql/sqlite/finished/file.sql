-- Stores commands that end before they began.
INSERT INTO finished_commands (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, finished_at, created_at,
    timeout_seconds, dead_letter, parent_id, correlation_id, unique_key, idempotency_key, retention, payload, backoff,
    tags, history, error, deadline_at, extras
)
SELECT
    value ->> 'id', value ->> 'name', value ->> 'queue', value ->> 'state', value ->> 'priority',
    coalesce(value ->> 'run_at', :now + CAST(round((value ->> 'delay_seconds') * 1000000) AS INTEGER)),
    0, value ->> 'retries', 1, 0, :now, :now, value ->> 'timeout_seconds', value ->> 'dead_letter',
    value ->> 'parent_id', value ->> 'correlation_id', value ->> 'unique_key', value ->> 'idempotency_key',
    value ->> 'retention', value -> 'payload', value -> 'backoff', value -> 'tags', '[]', value -> 'error',
    value ->> 'deadline', value -> 'extras'
FROM json_each(:rows)
