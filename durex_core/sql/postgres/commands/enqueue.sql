-- Stores new commands. A row missing from the answer met a live command with its unique key. Moments are added in two
-- parts: an interval times a float loses microseconds from the year 2255 on.
INSERT INTO durex.commands (
    id, name, queue, state, priority, ready_at, created_at, retries, timeout_seconds, dead_letter, parent_id,
    correlation_id, unique_key, idempotency_key, payload, backoff, tags, deadline_at, expires_at, extras, join_id,
    awaits, compensations
)
SELECT
    id, name, queue, state, priority, ready_at, :now, retries, timeout_seconds, dead_letter, parent_id,
    correlation_id, unique_key, idempotency_key, payload, backoff, tags, deadline_at,
    least(
        deadline_at,
        CASE WHEN awaits = 0 THEN ready_at + make_interval(secs => (extras ->> 'start_within_seconds')::float8) END
    ),
    extras, join_id, awaits, compensations
FROM json_to_recordset(:rows) AS row (
    id uuid, name text, queue text, state text, priority integer, delay_seconds double precision, run_at bigint,
    retries integer, timeout_seconds double precision, dead_letter boolean, parent_id uuid, correlation_id text,
    unique_key text, idempotency_key text, payload json, backoff jsonb, tags jsonb, deadline bigint, extras json,
    join_id uuid, awaits integer, compensations json
)
CROSS JOIN LATERAL (
    SELECT coalesce(
        timestamptz 'epoch' + run_at / 1000000 * interval '1 second' + run_at % 1000000 * interval '1 microsecond',
        :now + make_interval(secs => delay_seconds)
    ) AS ready_at
) AS due
CROSS JOIN LATERAL (
    SELECT coalesce(
        timestamptz 'epoch' + deadline / 1000000 * interval '1 second' + deadline % 1000000 * interval '1 microsecond',
        ready_at + make_interval(secs => (extras ->> 'deadline_seconds')::float8)
    ) AS deadline_at
) AS bound
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING id
