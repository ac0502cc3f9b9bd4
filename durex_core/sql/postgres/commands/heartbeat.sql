-- Extends the leases of running attempts, and never shortens one. A row missing from the answer had lost its lease.
UPDATE durex.commands AS command
SET lease_expires_at = greatest(lease_expires_at, :now + make_interval(secs => :lease_seconds))
FROM jsonb_to_recordset(:rows) AS held (id uuid, lease_number bigint)
WHERE command.id = held.id
  AND command.lease_number = held.lease_number
  AND command.state = 'started'
  AND command.lease_expires_at > :now
RETURNING command.id, command.lease_number
