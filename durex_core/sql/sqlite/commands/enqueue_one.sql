-- Stores one new command as `commands/enqueue` does many, in half the time. No row: its unique key belongs to a live one.
-- Whoever listens sees the file change.
INSERT INTO commands (
    id, name, queue, state, priority, ready_at, created_at, retries, timeout_seconds, dead_letter, parent_id,
    correlation_id, unique_key, idempotency_key, payload, backoff, tags, deadline_at, expires_at, extras, join_id,
    awaits, compensations
)
SELECT
    :id, :name, :queue, :state, :priority, ready_at, :now, :retries, :timeout_seconds, :dead_letter, :parent_id,
    :correlation_id, :unique_key, :idempotency_key, :payload, :backoff, :tags, deadline_at,
    min(coalesce(deadline_at, start_by), coalesce(start_by, deadline_at)),
    :extras, :join_id, :awaits, :compensations
FROM (
    SELECT
        ready_at,
        coalesce(
            :deadline, ready_at + CAST(round((:extras ->> 'deadline_seconds') * 1000000) AS INTEGER)
        ) AS deadline_at,
        CASE WHEN :awaits = 0 THEN
            ready_at + CAST(round((:extras ->> 'start_within_seconds') * 1000000) AS INTEGER)
        END AS start_by
    FROM (
        SELECT coalesce(:run_at, :now + CAST(round(:delay_seconds * 1000000) AS INTEGER)) AS ready_at
    )
)
WHERE true
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING id, :pokes AS is_told
