-- Takes back leases that ran out: the crash goes into the history, and the next claim decides what follows.
UPDATE commands
SET state = 'pending',
    ready_at = :now,
    lease_expires_at = NULL,
    started_at = NULL,
    worker = NULL,
    history = json_insert(
        CASE WHEN json_array_length(history) < 50 THEN history ELSE json_remove(history, '$[0]') END,
        '$[#]',
        json_object(
            'outcome', 'crashed', 'attempt', attempt, 'lease_number', lease_number, 'worker', worker,
            'started_at', started_at, 'ended_at', :now
        )
    )
WHERE id IN (
    SELECT id
    FROM commands
    WHERE state = 'started' AND lease_expires_at <= :now
    ORDER BY lease_expires_at
    LIMIT :limit
)
RETURNING id, queue
