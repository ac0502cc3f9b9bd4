-- Forgets alarms that have fired.
DELETE FROM durex.alarms WHERE bucket_at < :now RETURNING bucket_at
