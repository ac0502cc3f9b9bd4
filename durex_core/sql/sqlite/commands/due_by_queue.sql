-- The queues that have ready work, or will within the horizon, and in how many seconds.
SELECT queue, max(moment - :now, 0) / 1000000.0 AS due_seconds
FROM (
    SELECT
        lane.value AS queue,
        CASE
            WHEN EXISTS (SELECT 1 FROM commands AS ready WHERE ready.queue = lane.value AND state = 'pending')
            THEN :now
            ELSE (
                SELECT min(ready_at) FROM commands AS future
                WHERE future.queue = lane.value AND state = 'scheduled'
            )
        END AS moment
    FROM json_each(:queues) AS lane
)
WHERE moment <= :now + CAST(round(:horizon_seconds * 1000000) AS INTEGER)
