-- Takes keys that nobody ever took, whether or not their time is over; the others are missing from the answer.
INSERT INTO keys (scope, key, command_id, expires_at)
SELECT
    value ->> 'scope', value ->> 'key', value ->> 'command_id',
    :now + CAST(round(:keep_seconds * 1000000) AS INTEGER)
FROM json_each(:rows)
WHERE true
ON CONFLICT (scope, key) DO NOTHING
RETURNING command_id
