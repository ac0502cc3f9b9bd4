-- Takes the most urgent ready commands of these queues under a new lease: expired leases, due ones, pending ones; and
-- what expires. A taken-over lease leaves its crash in the history; a command whose budget is spent, or whose time is
-- over, keeps its attempt number and is handed over for its ending. The first crash of one that was claimed ahead, and
-- may never have begun, is not counted. The last row says what the claim left: whether more is ready, and in how many
-- seconds another command becomes ready by itself.
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
        WHERE queue = lane.value AND state <> 'started' AND expires_at IS NOT NULL AND expires_at <= :now
        ORDER BY expires_at
        LIMIT :limit
    )
    UNION ALL
    SELECT commands.id, priority, ready_at
    FROM json_each(:queues) AS lane
    JOIN commands ON commands.id IN (
        SELECT id
        FROM commands
        WHERE queue = lane.value AND state IN ('scheduled', 'repeating') AND ready_at <= :now
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
    attempt = CASE
        WHEN ending IS NOT NULL OR expires_at <= :now THEN attempt
        WHEN state = 'started'
             AND claimed_ahead AND NOT EXISTS (SELECT 1 FROM json_each(history) WHERE value ->> 'outcome' IN ('vanished', 'crashed'))
        THEN attempt
        ELSE min(attempt + 1, retries + 1)
    END,
    -- The limit on the start binds the first attempt alone, and no deadline binds an ending.
    expires_at = CASE
        WHEN ending IS NOT NULL THEN NULL
        WHEN expires_at <= :now THEN expires_at
        ELSE deadline_at
    END,
    lease_number = lease_number + 1,
    lease_expires_at = :now + CAST(round(:lease_seconds * 1000000) AS INTEGER),
    started_at = :now,
    worker = :worker,
    claimed_ahead = (SELECT min(count(*), :limit) FROM candidate) > :at_once,
    history = CASE
        WHEN state <> 'started' THEN history
        ELSE json_insert(
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
    END
-- What is overdue may be due or pending too: no scan passes over it, since there may be many before the others.
WHERE id IN (SELECT id FROM candidate GROUP BY id ORDER BY priority DESC, ready_at, id LIMIT :limit)
RETURNING
    id, name, queue, payload, priority, attempt, retries, run, backoff, timeout_seconds, dead_letter, tags,
    correlation_id, parent_id, unique_key, idempotency_key, lease_number, history, created_at, ready_at, started_at,
    deadline_at, expires_at, ending, extras, progress, join_id, awaits, children, compensations;

SELECT
    EXISTS (
        SELECT 1
        FROM json_each(:queues) AS lane
        WHERE EXISTS (SELECT 1 FROM commands WHERE queue = lane.value AND state = 'pending')
           OR EXISTS (
                SELECT 1 FROM commands
                WHERE queue = lane.value AND state IN ('scheduled', 'repeating') AND ready_at <= :now
           )
           OR EXISTS (
                SELECT 1 FROM commands
                WHERE queue = lane.value AND state <> 'started' AND expires_at IS NOT NULL AND expires_at <= :now
           )
    ) OR EXISTS (
        SELECT 1 FROM commands
        WHERE state = 'started' AND lease_expires_at <= :now AND queue IN (SELECT value FROM json_each(:queues))
    ) AS is_more,
    (min(moment) - :now) / 1000000.0 AS due_seconds
FROM (
    SELECT (
        SELECT min(ready_at)
        FROM commands
        WHERE queue = lane.value AND state IN ('scheduled', 'repeating') AND ready_at > :now
    ) AS moment
    FROM json_each(:queues) AS lane
    UNION ALL
    SELECT (
        SELECT min(expires_at)
        FROM commands
        WHERE queue = lane.value AND state <> 'started' AND expires_at IS NOT NULL AND expires_at > :now
    )
    FROM json_each(:queues) AS lane
)
