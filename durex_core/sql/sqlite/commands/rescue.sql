-- Takes back leases that ran out: the crash goes into the history, and the next claim decides what follows.
-- The first one of a command that was claimed ahead, and may never have begun, is not counted.
UPDATE commands
SET state = 'pending',
    ready_at = :now,
    lease_expires_at = NULL,
    started_at = NULL,
    worker = NULL,
    attempt = attempt - CASE
        WHEN ending IS NULL
             AND claimed_ahead AND NOT EXISTS (SELECT 1 FROM json_each(history) WHERE value ->> 'outcome' IN ('vanished', 'crashed'))
        THEN 1 ELSE 0
    END,
    history = json_insert(
        CASE WHEN json_array_length(history) < 50 THEN history ELSE json_remove(history, '$[0]') END,
        '$[#]',
        json_object(
            'outcome', CASE
                WHEN claimed_ahead AND NOT EXISTS (SELECT 1 FROM json_each(history) WHERE value ->> 'outcome' IN ('vanished', 'crashed'))
                THEN 'vanished' ELSE 'crashed'
            END,
            'attempt', attempt, 'lease_number', lease_number, 'worker', worker,
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
