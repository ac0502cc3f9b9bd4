-- Points keys that were just taken at the command that holds their unique key instead.
UPDATE keys
SET command_id = row.value ->> 'command_id'
FROM json_each(:rows) AS row
WHERE keys.scope = row.value ->> 'scope' AND keys.key = row.value ->> 'key'
RETURNING keys.key
