-- Counts the commands of each queue and state that finished lately; older partitions are not read.
SELECT queue, state, count(*) AS commands
FROM durex.finished_commands
WHERE finished_at > :now - make_interval(secs => :within_seconds)
GROUP BY queue, state
