-- Drops "completed" commands past their time, a bounded number at once.
DELETE FROM finished_commands
WHERE (id, run) IN (
    SELECT id, run
    FROM finished_commands
    WHERE retention = 'completed' AND finished_at <= :now - CAST(round(:keep_seconds * 1000000) AS INTEGER)
    ORDER BY finished_at
    LIMIT :limit
)
RETURNING id
