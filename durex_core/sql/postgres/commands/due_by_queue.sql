-- The queues that have ready work, or will have some, and in how many seconds.
SELECT lane.queue, greatest(extract(epoch FROM min(next.moment) - :now), 0)::double precision AS due_seconds
FROM jsonb_array_elements_text(:queues) AS lane (queue) CROSS JOIN LATERAL (
    (
        SELECT :now AS moment
        FROM durex.commands
        WHERE queue = lane.queue AND state = 'pending'
        ORDER BY priority DESC, ready_at
        LIMIT 1
    )
    UNION ALL
    (
        SELECT ready_at
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
) AS next
GROUP BY lane.queue
HAVING min(next.moment) IS NOT NULL
