-- Takes keys, or finds who holds them: the answer names the holder of every key. Expired keys are free.
INSERT INTO durex.keys AS held (scope, key, command_id, expires_at)
SELECT scope, key, command_id, :now + make_interval(secs => :keep_seconds)
FROM jsonb_to_recordset(:rows) AS row (scope text, key text, command_id uuid)
ORDER BY scope, key
ON CONFLICT (scope, key) DO UPDATE
SET command_id = CASE WHEN held.expires_at <= :now THEN excluded.command_id ELSE held.command_id END,
    expires_at = CASE WHEN held.expires_at <= :now THEN excluded.expires_at ELSE held.expires_at END
RETURNING scope, key, command_id
