-- Stores commands that end before they began.
INSERT INTO durex.finished_commands (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, finished_at, created_at,
    timeout_seconds, dead_letter, parent_id, correlation_id, unique_key, idempotency_key, retention, payload, backoff,
    tags, history, error, deadline_at, extras
)
SELECT
    id, name, queue, state, priority,
    coalesce(
        timestamptz 'epoch' + run_at / 1000000 * interval '1 second' + run_at % 1000000 * interval '1 microsecond',
        :now + make_interval(secs => delay_seconds)
    ),
    0, retries, 1, 0, :now, :now, timeout_seconds, dead_letter, parent_id, correlation_id, unique_key,
    idempotency_key, retention, payload, backoff, tags, '[]', error,
    timestamptz 'epoch' + deadline / 1000000 * interval '1 second' + deadline % 1000000 * interval '1 microsecond', extras
FROM json_to_recordset(:rows) AS row (
    id uuid, name text, queue text, state text, priority integer, delay_seconds double precision, run_at bigint,
    retries integer, timeout_seconds double precision, dead_letter boolean, parent_id uuid, correlation_id text,
    unique_key text, idempotency_key text, retention text, payload json, backoff jsonb, tags jsonb, error jsonb,
    deadline bigint, extras json
)
