-- Promotes commands that are due, the longest due first.
UPDATE commands
SET state = 'pending'
WHERE id IN (
    SELECT due.id
    FROM json_each(:queues) AS lane
    JOIN commands AS due ON due.id IN (
        SELECT id
        FROM commands
        WHERE queue = lane.value AND state IN ('scheduled', 'repeating') AND ready_at <= :now
        ORDER BY ready_at
        LIMIT :limit
    )
)
RETURNING id, queue
