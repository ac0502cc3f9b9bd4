-- Takes keys, or finds who holds them: the answer names the holder of every key. Expired keys are free.
INSERT INTO keys (scope, key, command_id, expires_at)
SELECT
    value ->> 'scope', value ->> 'key', value ->> 'command_id',
    :now + CAST(round(:keep_seconds * 1000000) AS INTEGER)
FROM json_each(:rows)
WHERE true
ON CONFLICT (scope, key) DO UPDATE
SET command_id = CASE WHEN expires_at <= :now THEN excluded.command_id ELSE command_id END,
    expires_at = CASE WHEN expires_at <= :now THEN excluded.expires_at ELSE expires_at END
RETURNING scope, key, command_id
