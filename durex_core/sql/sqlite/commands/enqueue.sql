-- Stores new commands. A row missing from the answer met a live command with its unique key.
INSERT INTO commands (
    id, name, queue, state, priority, ready_at, created_at, retries, timeout_seconds, dead_letter, parent_id,
    correlation_id, unique_key, idempotency_key, payload, backoff, tags
)
SELECT
    value ->> 'id', value ->> 'name', value ->> 'queue', value ->> 'state', value ->> 'priority',
    :now + CAST(round((value ->> 'delay_seconds') * 1000000) AS INTEGER), :now, value ->> 'retries',
    value ->> 'timeout_seconds', value ->> 'dead_letter', value ->> 'parent_id', value ->> 'correlation_id',
    value ->> 'unique_key', value ->> 'idempotency_key', value -> 'payload', value -> 'backoff', value -> 'tags'
FROM json_each(:rows)
WHERE true
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING id
