-- Puts a finished command back among the live ones, ready and with a fresh budget; its lease number rises on. No row: it
-- is not in one of these states, is live again, or had a deadline of its own that is over. A live command that holds its
-- unique key is an error, which leaves everything as it was.
INSERT INTO commands (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, created_at, timeout_seconds,
    dead_letter, parent_id, correlation_id, unique_key, idempotency_key, payload, backoff, tags, history, deadline_at,
    expires_at, extras, progress, children
)
SELECT
    id, name, queue, 'pending', priority, :now, 0, retries, run, lease_number, created_at, timeout_seconds,
    dead_letter, parent_id, correlation_id, unique_key, idempotency_key, payload, backoff, tags,
    json_insert(
        CASE WHEN json_array_length(history) < 50 THEN history ELSE json_remove(history, '$[0]') END,
        '$[#]',
        json_object(
            'outcome', state, 'attempt', attempt, 'lease_number', lease_number, 'worker', worker,
            'started_at', started_at, 'ended_at', finished_at, 'error', json(error), 'revived_at', :now
        )
    ),
    rearmed_at, min(coalesce(rearmed_at, start_by), coalesce(start_by, rearmed_at)), extras, progress, children
FROM (
    SELECT
        *,
        coalesce(
            :now + CAST(round((extras ->> 'deadline_seconds') * 1000000) AS INTEGER), deadline_at
        ) AS rearmed_at,
        :now + CAST(round((extras ->> 'start_within_seconds') * 1000000) AS INTEGER) AS start_by
    FROM finished_commands
    WHERE id = :id
      AND state IN (SELECT value FROM json_each(:states))
      AND run = (SELECT max(newest.run) FROM finished_commands AS newest WHERE newest.id = :id)
      AND NOT EXISTS (SELECT 1 FROM commands AS live WHERE live.id = :id)
      AND (extras ->> 'deadline_seconds' IS NOT NULL OR coalesce(deadline_at > :now, true))
)
RETURNING *;

-- A live row and a finished one of the same run are the move half done, in this very transaction.
DELETE FROM finished_commands
WHERE id = :id
  AND EXISTS (SELECT 1 FROM commands AS live WHERE live.id = finished_commands.id AND live.run = finished_commands.run);
