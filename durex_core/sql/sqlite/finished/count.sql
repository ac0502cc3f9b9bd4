-- Counts the commands of each queue and state that finished lately.
SELECT queue, state, count(*) AS commands
FROM finished_commands
WHERE retention IN ('completed', 'attention')
  AND finished_at > :now - CAST(round(:within_seconds * 1000000) AS INTEGER)
GROUP BY queue, state
