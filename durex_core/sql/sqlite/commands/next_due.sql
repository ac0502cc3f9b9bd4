-- In how many seconds a command of these queues becomes ready by itself, at a due time, at the end of its time or at
-- the end of a lease; null if none will.
SELECT (min(moment) - :now) / 1000000.0 AS due_seconds
FROM (
    SELECT (
        SELECT min(ready_at)
        FROM commands
        WHERE queue = lane.value AND state IN ('scheduled', 'repeating')
    ) AS moment
    FROM json_each(:queues) AS lane
    UNION ALL
    SELECT (
        SELECT min(expires_at)
        FROM commands
        WHERE queue = lane.value AND state <> 'started' AND expires_at IS NOT NULL
    )
    FROM json_each(:queues) AS lane
    UNION ALL
    SELECT min(lease_expires_at)
    FROM commands
    WHERE state = 'started' AND queue IN (SELECT value FROM json_each(:queues))
)
