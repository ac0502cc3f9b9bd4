-- Makes a command ready that waits for its time. No row: it waits for none.
UPDATE commands
SET state = 'pending', ready_at = :now
WHERE id = :id AND state IN ('scheduled', 'repeating')
RETURNING *
