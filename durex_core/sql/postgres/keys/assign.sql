-- Points keys that were just taken at the command that holds their unique key instead.
UPDATE durex.keys AS held
SET command_id = row.command_id
FROM jsonb_to_recordset(:rows) AS row (scope text, key text, command_id uuid)
WHERE held.scope = row.scope AND held.key = row.key
RETURNING held.key
