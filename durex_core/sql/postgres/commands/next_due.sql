-- In how many seconds a command of these queues becomes ready by itself, at a due time, at the end of its time or at
-- the end of a lease; null if none will.
SELECT extract(epoch FROM min(moment) - :now)::double precision AS due_seconds
FROM (
    SELECT found.moment
    FROM jsonb_array_elements_text(:queues) AS lane (queue) CROSS JOIN LATERAL (
        (
            SELECT ready_at AS moment
            FROM durex.commands
            WHERE queue = lane.queue AND state IN ('scheduled', 'repeating')
            ORDER BY ready_at
            LIMIT 1
        )
        UNION ALL
        (
            SELECT expires_at
            FROM durex.commands
            WHERE queue = lane.queue AND state <> 'started' AND expires_at IS NOT NULL
            ORDER BY expires_at
            LIMIT 1
        )
    ) AS found
    UNION ALL
    (
        SELECT lease_expires_at
        FROM durex.commands
        WHERE state = 'started' AND queue = ANY (ARRAY(SELECT jsonb_array_elements_text(:queues)))
        ORDER BY lease_expires_at
        LIMIT 1
    )
) AS waiting
