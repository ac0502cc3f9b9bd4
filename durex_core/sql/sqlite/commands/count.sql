-- Counts the live commands of each queue and state; how many of them could start now, and for how long the oldest of
-- these could have.
SELECT queue, state, count(*) AS commands, sum(is_ready) AS ready,
       (:now - min(iif(is_ready, ready_at, NULL))) / 1000000.0 AS oldest_seconds
FROM (
    SELECT queue, state, ready_at,
           state = 'pending' OR (state IN ('scheduled', 'repeating') AND ready_at <= :now) AS is_ready
    FROM commands
)
GROUP BY queue, state
