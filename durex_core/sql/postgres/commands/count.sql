-- Counts the live commands of each queue and state; how many of them could start now, and for how long the oldest of
-- these could have.
SELECT queue, state, count(*) AS commands, count(*) FILTER (WHERE is_ready) AS ready,
       extract(epoch FROM :now - min(ready_at) FILTER (WHERE is_ready))::double precision AS oldest_seconds
FROM durex.commands
CROSS JOIN LATERAL (
    SELECT state = 'pending' OR (state IN ('scheduled', 'repeating') AND ready_at <= :now) AS is_ready
) AS readiness
GROUP BY queue, state
