-- Takes keys that nobody ever took, whether or not their time is over; the others are missing from the answer.
INSERT INTO durex.keys (scope, key, command_id, expires_at)
SELECT scope, key, command_id, :now + make_interval(secs => :keep_seconds)
FROM jsonb_to_recordset(:rows) AS row (scope text, key text, command_id uuid)
ORDER BY scope, key
ON CONFLICT (scope, key) DO NOTHING
RETURNING command_id
