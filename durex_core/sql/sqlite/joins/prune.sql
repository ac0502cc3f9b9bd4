-- Drops what is remembered for commands that no longer wait, a bounded number at once.
DELETE FROM joined
WHERE (command_id, position) IN (
    SELECT command_id, position
    FROM joined
    WHERE NOT EXISTS (SELECT 1 FROM commands WHERE id = command_id AND state = 'waiting')
    LIMIT :limit
)
RETURNING command_id
