-- Cancels live commands, running ones too: their attempts find their lease lost. A row missing from the answer was not
-- live any more.
WITH moved AS (
    DELETE FROM durex.commands AS command
    USING jsonb_array_elements_text(:ids) AS wanted (id)
    WHERE command.id = wanted.id::uuid
    RETURNING command.*
)
INSERT INTO durex.finished_commands (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, finished_at,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    retention, payload, backoff, tags, history, result, error, deadline_at, expires_at, extras, progress, join_id,
    awaits, children, recovery
)
SELECT
    id, name, queue, 'cancelled', priority, ready_at, attempt, retries, run, lease_number, started_at, :now,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    'attention', payload, backoff, tags, history, NULL, :error, deadline_at, expires_at, extras, progress, join_id,
    awaits, children, NULL
FROM moved
RETURNING *
