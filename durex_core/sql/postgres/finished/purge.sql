-- Drops commands that came into the dead letter queue long ago, a bounded number at once.
WITH old AS MATERIALIZED (
    SELECT id, run
    FROM durex.finished_commands
    WHERE retention = 'attention' AND state = 'dead_letter'
      AND finished_at <= :now - make_interval(secs => :keep_seconds)
    LIMIT :limit
)
DELETE FROM durex.finished_commands AS finished
USING old
WHERE finished.id = old.id AND finished.run = old.run AND finished.retention = 'attention'
RETURNING finished.id
