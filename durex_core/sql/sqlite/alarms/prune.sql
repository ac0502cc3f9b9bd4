-- Forgets alarms that have fired.
DELETE FROM alarms WHERE bucket_at < :now RETURNING bucket_at
