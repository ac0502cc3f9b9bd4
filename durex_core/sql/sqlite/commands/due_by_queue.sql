-- The queues that have ready work, or will have some, and in how many seconds.
SELECT queue, max(min(moment) - :now, 0) / 1000000.0 AS due_seconds
FROM (
    SELECT lane.value AS queue, :now AS moment
    FROM json_each(:queues) AS lane
    WHERE EXISTS (SELECT 1 FROM commands AS ready WHERE ready.queue = lane.value AND state = 'pending')
    UNION ALL
    SELECT lane.value, (
        SELECT min(ready_at) FROM commands AS future
        WHERE future.queue = lane.value AND state IN ('scheduled', 'repeating')
    )
    FROM json_each(:queues) AS lane
    UNION ALL
    SELECT lane.value, (
        SELECT min(expires_at) FROM commands AS expiring
        WHERE expiring.queue = lane.value AND state <> 'started' AND expires_at IS NOT NULL
    )
    FROM json_each(:queues) AS lane
)
GROUP BY queue
HAVING min(moment) IS NOT NULL
