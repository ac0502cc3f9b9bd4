-- Stores what running attempts tell of themselves. A row missing from the answer had lost its lease.
UPDATE commands
SET progress = noted.value -> 'progress',
    compensations = noted.value -> 'compensations'
FROM json_each(:rows) AS noted
WHERE commands.id = noted.value ->> 'id'
  AND commands.lease_number = noted.value ->> 'lease_number'
  AND commands.state = 'started'
  AND commands.lease_expires_at > :now
RETURNING commands.id, commands.lease_number
