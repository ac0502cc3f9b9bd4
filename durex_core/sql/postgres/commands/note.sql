-- Stores what running attempts tell of themselves. A row missing from the answer had lost its lease.
UPDATE durex.commands AS command
SET progress = noted.progress,
    compensations = noted.compensations
FROM (
    SELECT *, 'started' AS was, :now AS moment
    FROM json_to_recordset(:rows) AS row (id uuid, lease_number bigint, progress json, compensations json)
    -- No limit, but the planner reckons with fewer: it looks them up by key, whatever it knows of the table.
    LIMIT (SELECT NULL::bigint)
) AS noted
WHERE command.id = noted.id
  AND command.lease_number = noted.lease_number
  AND command.state = noted.was
  AND command.lease_expires_at > noted.moment
RETURNING command.id, command.lease_number
