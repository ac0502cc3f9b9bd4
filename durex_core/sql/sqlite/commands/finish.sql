-- Moves commands whose attempt ended them to the finished ones. The rows of the answer had lost their leases.
SELECT ended.value ->> 'id' AS id, ended.value ->> 'lease_number' AS lease_number
FROM json_each(:rows) AS ended
WHERE NOT EXISTS (
    SELECT 1
    FROM commands
    WHERE commands.id = ended.value ->> 'id'
      AND commands.lease_number = ended.value ->> 'lease_number'
      AND commands.state = 'started'
      AND commands.lease_expires_at > :now
);

INSERT INTO finished_commands (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, finished_at,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    retention, payload, backoff, tags, history, result, error, deadline_at, expires_at, extras, progress, join_id,
    awaits, children, recovery
)
SELECT
    commands.id, name, queue, ended.value ->> 'state', priority, ready_at, attempt, retries, run, lease_number,
    started_at, :now, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key,
    idempotency_key, iif(ended.value ->> 'state' = 'completed', 'completed', 'attention'), payload, backoff, tags,
    history, coalesce(ended.value -> 'result', 'null'), ended.value -> 'error', deadline_at, expires_at, extras,
    progress, join_id, awaits, children, ended.value -> 'recovery'
FROM json_each(:rows) AS ended
JOIN commands
  ON commands.id = ended.value ->> 'id'
 AND commands.lease_number = ended.value ->> 'lease_number'
 AND commands.state = 'started'
 AND commands.lease_expires_at > :now;

-- A live row and a finished one of the same run are the move half done, in this very transaction.
DELETE FROM commands
WHERE id IN (SELECT value ->> 'id' FROM json_each(:rows))
  AND EXISTS (
    SELECT 1 FROM finished_commands AS finished WHERE finished.id = commands.id AND finished.run = commands.run
  );
