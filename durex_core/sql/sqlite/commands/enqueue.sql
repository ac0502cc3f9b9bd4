-- Stores new commands. A row missing from the answer met a live command with its unique key.
INSERT INTO commands (
    id, name, queue, state, priority, ready_at, created_at, retries, timeout_seconds, dead_letter, parent_id,
    correlation_id, unique_key, idempotency_key, payload, backoff, tags, deadline_at, expires_at, extras, join_id,
    awaits, compensations
)
SELECT
    value ->> 'id', value ->> 'name', value ->> 'queue', value ->> 'state', value ->> 'priority', ready_at, :now,
    value ->> 'retries', value ->> 'timeout_seconds', value ->> 'dead_letter', value ->> 'parent_id',
    value ->> 'correlation_id', value ->> 'unique_key', value ->> 'idempotency_key', nullif(value -> 'payload', 'null'),
    value -> 'backoff', value -> 'tags', deadline_at,
    min(coalesce(deadline_at, start_by), coalesce(start_by, deadline_at)),
    value -> 'extras', value ->> 'join_id', value ->> 'awaits', value -> 'compensations'
FROM (
    SELECT
        value, ready_at,
        coalesce(
            value ->> 'deadline',
            ready_at + CAST(round((value ->> '$.extras.deadline_seconds') * 1000000) AS INTEGER)
        ) AS deadline_at,
        CASE WHEN value ->> 'awaits' = 0 THEN
            ready_at + CAST(round((value ->> '$.extras.start_within_seconds') * 1000000) AS INTEGER)
        END AS start_by
    FROM (
        SELECT
            value,
            coalesce(
                value ->> 'run_at', :now + CAST(round((value ->> 'delay_seconds') * 1000000) AS INTEGER)
            ) AS ready_at
        FROM json_each(:rows)
    )
)
WHERE true
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING id
