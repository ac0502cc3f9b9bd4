-- Moves commands whose attempt ended them to the finished ones. The rows of the answer had lost their leases.
WITH ended AS (
    SELECT *, 'started' AS was, :now AS moment
    FROM unnest(
        :rows.id::uuid[], :rows.lease_number::bigint[], :rows.state::text[], :rows.result::json[], :rows.error::json[],
        :rows.recovery::json[]
    ) AS row (id, lease_number, state, result, error, recovery)
    -- No limit, but the planner reckons with fewer: it looks them up by key, whatever it knows of the table.
    LIMIT (SELECT NULL::bigint)
),
moved AS (
    DELETE FROM durex.commands AS command
    USING ended
    WHERE command.id = ended.id
      AND command.lease_number = ended.lease_number
      AND command.state = ended.was
      AND command.lease_expires_at > ended.moment
    RETURNING
        command.id, name, queue, ended.state, priority, ready_at, attempt, retries, run, command.lease_number,
        started_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key,
        idempotency_key, payload, backoff, tags, history, result, error, deadline_at, expires_at, extras, progress,
        join_id, awaits, children, recovery
),
filed AS (
    INSERT INTO durex.finished_commands (
        id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, finished_at,
        created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
        retention, payload, backoff, tags, history, result, error, deadline_at, expires_at, extras, progress, join_id,
        awaits, children, recovery
    )
    SELECT
        id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, :now,
        created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
        CASE state WHEN 'completed' THEN 'completed' ELSE 'attention' END, payload, backoff, tags, history, result,
        error::jsonb, deadline_at, expires_at, extras, progress, join_id, awaits, children, recovery
    FROM moved
)
SELECT id, lease_number
FROM unnest(:rows.id::uuid[], :rows.lease_number::bigint[]) AS row (id, lease_number)
-- Nobody looks further where all of them held theirs, as they nearly always do.
WHERE (SELECT count(*) FROM moved) < cardinality(:rows.id::uuid[])
  AND (id, lease_number) NOT IN (SELECT id, lease_number FROM moved)
