-- In how many seconds a command of these queues becomes ready by itself, at a due time or the end of a lease; null if
-- none will.
SELECT extract(epoch FROM min(moment) - :now)::double precision AS due_seconds
FROM (
    SELECT found.ready_at AS moment
    FROM jsonb_array_elements_text(:queues) AS lane (queue) CROSS JOIN LATERAL (
        SELECT ready_at
        FROM durex.commands
        WHERE queue = lane.queue AND state = 'scheduled'
        ORDER BY ready_at
        LIMIT 1
    ) AS found
    UNION ALL
    SELECT min(lease_expires_at)
    FROM durex.commands
    WHERE state = 'started' AND queue = ANY (ARRAY(SELECT jsonb_array_elements_text(:queues)))
) AS waiting
