-- Promotes commands that are due, the longest due first.
UPDATE durex.commands AS command
SET state = 'pending'
WHERE command.id = ANY (ARRAY(
    SELECT found.id
    FROM jsonb_array_elements_text(:queues) AS lane (queue) CROSS JOIN LATERAL (
        SELECT id
        FROM durex.commands
        WHERE queue = lane.queue AND state IN ('scheduled', 'repeating') AND ready_at <= :now
        ORDER BY ready_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS found
))
RETURNING command.id, command.queue
