-- Drops commands that came into the dead letter queue long ago, a bounded number at once.
DELETE FROM finished_commands
WHERE (id, run) IN (
    SELECT id, run
    FROM finished_commands
    WHERE retention = 'attention' AND state = 'dead_letter'
      AND finished_at <= :now - CAST(round(:keep_seconds * 1000000) AS INTEGER)
    LIMIT :limit
)
RETURNING id
