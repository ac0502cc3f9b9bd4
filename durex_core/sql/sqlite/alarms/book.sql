-- Notes that the alarm of a bucket is set.
INSERT INTO alarms (bucket_at) VALUES (:bucket) ON CONFLICT DO NOTHING RETURNING bucket_at
