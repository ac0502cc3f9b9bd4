-- Stores what running attempts tell of themselves. A row missing from the answer had lost its lease.
UPDATE durex.commands AS command
SET progress = noted.progress,
    compensations = noted.compensations
FROM json_to_recordset(:rows) AS noted (id uuid, lease_number bigint, progress json, compensations json)
WHERE command.id = noted.id
  AND command.lease_number = noted.lease_number
  AND command.state = 'started'
  AND command.lease_expires_at > :now
RETURNING command.id, command.lease_number
