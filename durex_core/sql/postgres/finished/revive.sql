-- Puts a finished command back among the live ones, ready and with a fresh budget; its lease number rises on. No row: it
-- is not in one of these states, is live again, or had a deadline of its own that is over. A live command that holds its
-- unique key is an error, which leaves everything as it was.
WITH ended AS (
    DELETE FROM durex.finished_commands AS finished
    WHERE finished.id = :id
      AND finished.state IN (SELECT jsonb_array_elements_text(:states))
      AND finished.run = (SELECT max(newest.run) FROM durex.finished_commands AS newest WHERE newest.id = :id)
      AND NOT EXISTS (SELECT FROM durex.commands AS live WHERE live.id = :id)
      AND (finished.extras ->> 'deadline_seconds' IS NOT NULL OR coalesce(finished.deadline_at > :now, true))
    RETURNING finished.*
)
INSERT INTO durex.commands (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, created_at, timeout_seconds,
    dead_letter, parent_id, correlation_id, unique_key, idempotency_key, payload, backoff, tags, history, deadline_at,
    expires_at, extras, progress, children
)
SELECT
    id, name, queue, 'pending', priority, :now, 0, retries, run, lease_number, created_at, timeout_seconds,
    dead_letter, parent_id, correlation_id, unique_key, idempotency_key, payload, backoff, tags,
    CASE WHEN jsonb_array_length(history) < 50 THEN history ELSE history - 0 END
        || jsonb_build_object(
            'outcome', state, 'attempt', attempt, 'lease_number', lease_number, 'worker', worker,
            'started_at', started_at, 'ended_at', finished_at, 'error', error, 'revived_at', :now
        ),
    bound.deadline_at,
    least(bound.deadline_at, :now + make_interval(secs => (extras ->> 'start_within_seconds')::float8)),
    extras, progress, children
FROM ended
CROSS JOIN LATERAL (
    SELECT coalesce(
        :now + make_interval(secs => (ended.extras ->> 'deadline_seconds')::float8), ended.deadline_at
    ) AS deadline_at
) AS bound
RETURNING *
