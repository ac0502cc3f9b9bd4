-- Takes back leases that ran out: the crash goes into the history, and the next claim decides what follows.
UPDATE durex.commands AS command
SET state = 'pending',
    ready_at = :now,
    lease_expires_at = NULL,
    started_at = NULL,
    worker = NULL,
    history = CASE WHEN jsonb_array_length(command.history) < 50 THEN command.history ELSE command.history - 0 END
        || jsonb_build_object(
            'outcome', 'crashed', 'attempt', command.attempt, 'lease_number', command.lease_number,
            'worker', command.worker, 'started_at', command.started_at, 'ended_at', :now
        )
FROM (
    SELECT id
    FROM durex.commands
    WHERE state = 'started' AND lease_expires_at <= :now
    ORDER BY lease_expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
) AS expired
WHERE command.id = expired.id
RETURNING command.id, command.queue
