-- Stores one new command as `commands/enqueue` does many, in half the time, and lets its commit poke whoever listens.
-- No row: its unique key belongs to a live one. A commit that notifies has all others that do wait until it is on disk.
-- So only one at a time does; the answer says whether it was this one.
INSERT INTO durex.commands (
    id, name, queue, state, priority, ready_at, created_at, retries, timeout_seconds, dead_letter, parent_id,
    correlation_id, unique_key, idempotency_key, payload, backoff, tags, deadline_at, expires_at, extras, join_id,
    awaits, compensations
)
SELECT
    :id::uuid, :name::text, :queue::text, :state::text, :priority::integer, ready_at, :now, :retries::integer,
    :timeout_seconds::double precision, :dead_letter::boolean, :parent_id::uuid, :correlation_id::text,
    :unique_key::text, :idempotency_key::text, :payload::json, :backoff::jsonb, :tags::jsonb, deadline_at,
    least(
        deadline_at,
        CASE WHEN :awaits::integer = 0 THEN
            ready_at + make_interval(secs => (:extras::json ->> 'start_within_seconds')::float8)
        END
    ),
    :extras::json, :join_id::uuid, :awaits::integer, :compensations::json
FROM (
    SELECT coalesce(
        timestamptz 'epoch' + :run_at::bigint / 1000000 * interval '1 second'
            + :run_at::bigint % 1000000 * interval '1 microsecond',
        :now + make_interval(secs => :delay_seconds::double precision)
    ) AS ready_at
) AS due
CROSS JOIN LATERAL (
    SELECT coalesce(
        timestamptz 'epoch' + :deadline::bigint / 1000000 * interval '1 second'
            + :deadline::bigint % 1000000 * interval '1 microsecond',
        ready_at + make_interval(secs => (:extras::json ->> 'deadline_seconds')::float8)
    ) AS deadline_at
) AS bound
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING
    id,
    CASE
        WHEN :pokes::boolean AND pg_try_advisory_xact_lock(hashtext('durex_wake')) THEN
            pg_notify('durex_wake', '') IS NOT NULL
        ELSE false
    END AS is_told
