-- Takes back leases that ran out: the crash goes into the history, and the next claim decides what follows.
-- The first one of a command that was claimed ahead, and may never have begun, is not counted.
UPDATE durex.commands AS command
SET state = 'pending',
    ready_at = :now,
    lease_expires_at = NULL,
    started_at = NULL,
    worker = NULL,
    attempt = command.attempt - CASE WHEN command.claimed_ahead AND NOT command.history @? '$.outcome ? (@ == "vanished" || @ == "crashed")'
        AND command.ending IS NULL THEN 1 ELSE 0 END,
    history = CASE WHEN jsonb_array_length(command.history) < 50 THEN command.history ELSE command.history - 0 END
        || jsonb_build_object(
            'outcome', CASE WHEN command.claimed_ahead AND NOT command.history @? '$.outcome ? (@ == "vanished" || @ == "crashed")'
                       THEN 'vanished' ELSE 'crashed' END, 'attempt', command.attempt, 'lease_number', command.lease_number,
            'worker', command.worker, 'started_at', command.started_at, 'ended_at', :now
        )
WHERE command.id = ANY (ARRAY(
    SELECT id
    FROM durex.commands
    -- Between two bounds the planner takes them for few, as they are, even where it does not know the moment.
    WHERE state = 'started' AND lease_expires_at BETWEEN '-infinity' AND :now
    ORDER BY lease_expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
))
RETURNING command.id, command.queue
