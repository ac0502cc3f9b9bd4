-- Extends the leases of running attempts, and never shortens one. A row missing from the answer had lost its lease.
UPDATE commands
SET lease_expires_at = max(lease_expires_at, :now + CAST(round(:lease_seconds * 1000000) AS INTEGER))
FROM json_each(:rows) AS held
WHERE commands.id = held.value ->> 'id'
  AND commands.lease_number = held.value ->> 'lease_number'
  AND commands.state = 'started'
  AND commands.lease_expires_at > :now
RETURNING commands.id, commands.lease_number
