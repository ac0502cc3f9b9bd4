-- Extends the leases of running attempts, and never shortens one. A row missing from the answer had lost its lease.
UPDATE durex.commands AS command
SET lease_expires_at = greatest(lease_expires_at, :now + make_interval(secs => :lease_seconds))
FROM (
    SELECT *, 'started' AS was, :now AS moment
    FROM jsonb_to_recordset(:rows) AS row (id uuid, lease_number bigint)
    -- No limit, but the planner reckons with fewer: it looks them up by key, whatever it knows of the table.
    LIMIT (SELECT NULL::bigint)
) AS held
WHERE command.id = held.id
  AND command.lease_number = held.lease_number
  AND command.state = held.was
  AND command.lease_expires_at > held.moment
RETURNING command.id, command.lease_number
