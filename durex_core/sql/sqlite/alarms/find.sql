-- Whether the alarm of a bucket is booked.
SELECT bucket_at FROM alarms WHERE bucket_at = :bucket
