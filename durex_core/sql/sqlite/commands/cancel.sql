-- Cancels live commands, running ones too: their attempts find their lease lost. A row missing from the answer was not
-- live any more.
INSERT INTO finished_commands (
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
FROM commands
WHERE id IN (SELECT value FROM json_each(:ids))
RETURNING *;

-- A live row and a finished one of the same run are the move half done, in this very transaction.
DELETE FROM commands
WHERE id IN (SELECT value FROM json_each(:ids))
  AND EXISTS (
    SELECT 1 FROM finished_commands AS finished WHERE finished.id = commands.id AND finished.run = commands.run
  );
