-- Stores new commands. A row missing from the answer met a live command with its unique key.
INSERT INTO durex.commands (
    id, name, queue, state, priority, ready_at, created_at, retries, timeout_seconds, dead_letter, parent_id,
    correlation_id, unique_key, idempotency_key, payload, backoff, tags
)
SELECT
    id, name, queue, state, priority, :now + make_interval(secs => delay_seconds), :now, retries, timeout_seconds,
    dead_letter, parent_id, correlation_id, unique_key, idempotency_key, payload, backoff, tags
FROM json_to_recordset(:rows) AS row (
    id uuid, name text, queue text, state text, priority integer, delay_seconds double precision, retries integer,
    timeout_seconds double precision, dead_letter boolean, parent_id uuid, correlation_id text, unique_key text,
    idempotency_key text, payload json, backoff jsonb, tags jsonb
)
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING id
