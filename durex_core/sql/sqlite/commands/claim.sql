-- Takes the most urgent ready commands of these queues under a new lease: expired leases, due ones, pending ones.
-- A taken-over lease leaves its crash in the history; a command whose budget is spent keeps its attempt number and is
-- handed over for its ending.
WITH candidate AS (
    SELECT * FROM (
        SELECT id, priority, ready_at
        FROM commands
        WHERE state = 'started' AND lease_expires_at <= :now AND queue IN (SELECT value FROM json_each(:queues))
        ORDER BY lease_expires_at
        LIMIT :limit
    )
    UNION ALL
    SELECT commands.id, priority, ready_at
    FROM json_each(:queues) AS lane
    JOIN commands ON commands.id IN (
        SELECT id
        FROM commands
        WHERE queue = lane.value AND state = 'scheduled' AND ready_at <= :now
        ORDER BY ready_at
        LIMIT :limit
    )
    UNION ALL
    SELECT commands.id, priority, ready_at
    FROM json_each(:queues) AS lane
    JOIN commands ON commands.id IN (
        SELECT id
        FROM commands
        WHERE queue = lane.value AND state = 'pending'
        ORDER BY priority DESC, ready_at
        LIMIT :limit
    )
)
UPDATE commands
SET state = 'started',
    attempt = min(attempt + 1, retries + 1),
    lease_number = lease_number + 1,
    lease_expires_at = :now + CAST(round(:lease_seconds * 1000000) AS INTEGER),
    started_at = :now,
    worker = :worker,
    history = CASE
        WHEN state <> 'started' THEN history
        ELSE json_insert(
            CASE WHEN json_array_length(history) < 50 THEN history ELSE json_remove(history, '$[0]') END,
            '$[#]',
            json_object(
                'outcome', 'crashed', 'attempt', attempt, 'lease_number', lease_number, 'worker', worker,
                'started_at', started_at, 'ended_at', :now
            )
        )
    END
WHERE id IN (SELECT id FROM candidate ORDER BY priority DESC, ready_at, id LIMIT :limit)
RETURNING *
