-- Takes the most urgent ready commands of these queues under a new lease: expired leases, due ones, pending ones; and
-- what expires. Rows that another worker is claiming are passed over. A taken-over lease leaves its crash in the
-- history; a command whose budget is spent, or whose time is over, keeps its attempt number and is handed over for its
-- ending. The first crash of one that was claimed ahead, and may never have begun, is not counted. The last row, like all
-- of them, says what the claim left: whether more is ready, and in how many seconds another command becomes ready by
-- itself. If nothing was taken it is a row without a command.
WITH lane AS (
    SELECT jsonb_array_elements_text(:queues) AS queue
),
expired AS MATERIALIZED (
    SELECT id, priority, ready_at
    FROM durex.commands
    WHERE state = 'started' AND lease_expires_at BETWEEN '-infinity' AND :now
      AND queue = ANY (ARRAY(SELECT queue FROM lane))
    ORDER BY lease_expires_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
),
overdue AS MATERIALIZED (
    SELECT found.id, found.priority, found.ready_at
    FROM lane CROSS JOIN LATERAL (
        SELECT id, priority, ready_at
        FROM durex.commands
        WHERE queue = lane.queue AND state <> 'started' AND expires_at IS NOT NULL AND expires_at <= :now
        ORDER BY expires_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS found
),
due AS MATERIALIZED (
    SELECT found.id, found.priority, found.ready_at
    FROM lane CROSS JOIN LATERAL (
        SELECT id, priority, ready_at
        FROM durex.commands
        WHERE queue = lane.queue AND state IN ('scheduled', 'repeating') AND ready_at <= :now
        ORDER BY ready_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS found
),
pending AS MATERIALIZED (
    SELECT found.id, found.priority, found.ready_at
    FROM lane CROSS JOIN LATERAL (
        SELECT id, priority, ready_at
        FROM durex.commands
        WHERE queue = lane.queue AND state = 'pending'
        ORDER BY priority DESC, ready_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS found
),
chosen AS MATERIALIZED (
    -- What is overdue may be due or pending too: no scan passes over it, since there may be many before the others.
    SELECT DISTINCT ON (priority, ready_at, id) priority, ready_at, id
    FROM (
        SELECT * FROM expired
        UNION ALL SELECT * FROM overdue
        UNION ALL SELECT * FROM due
        UNION ALL SELECT * FROM pending
    ) AS candidate
    ORDER BY priority DESC, ready_at, id
    LIMIT :limit
),
claimed AS (
    UPDATE durex.commands AS command
    SET state = 'started',
        attempt = CASE
            WHEN command.ending IS NOT NULL OR command.expires_at <= :now THEN command.attempt
            WHEN command.state = 'started' AND command.claimed_ahead AND NOT command.history @? '$.outcome ? (@ == "vanished" || @ == "crashed")'
            THEN command.attempt
            ELSE least(command.attempt + 1, command.retries + 1)
        END,
        -- The limit on the start binds the first attempt alone, and no deadline binds an ending.
        expires_at = CASE
            WHEN command.ending IS NOT NULL THEN NULL
            WHEN command.expires_at <= :now THEN command.expires_at
            ELSE command.deadline_at
        END,
        lease_number = command.lease_number + 1,
        lease_expires_at = :now + make_interval(secs => :lease_seconds),
        started_at = :now,
        worker = :worker,
        claimed_ahead = (SELECT count(*) FROM chosen) > :at_once,
        history = CASE
            WHEN command.state <> 'started' THEN command.history
            ELSE CASE WHEN jsonb_array_length(command.history) < 50 THEN command.history ELSE command.history - 0 END
                || jsonb_build_object(
                    'outcome', CASE WHEN command.claimed_ahead AND NOT command.history @? '$.outcome ? (@ == "vanished" || @ == "crashed")'
                               THEN 'vanished' ELSE 'crashed' END, 'attempt', command.attempt, 'lease_number', command.lease_number,
                    'worker', command.worker, 'started_at', command.started_at, 'ended_at', :now
                )
        END
    WHERE command.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING
        id, name, queue, payload, priority, attempt, retries, run, backoff, timeout_seconds, dead_letter, tags,
        correlation_id, parent_id, unique_key, idempotency_key, lease_number, history, created_at, ready_at, started_at,
        deadline_at, expires_at, ending, extras, progress, join_id, awaits, children, compensations
),
beyond AS (
    -- What each queue has besides: whether something is ready, and when something will be. What is least urgent is
    -- looked at first: if much is left, nothing was taken there yet.
    SELECT
        CASE WHEN (SELECT count(*) FROM chosen) = :limit THEN coalesce(
            (
                SELECT true
                FROM durex.commands
                WHERE queue = lane.queue AND state = 'pending' AND id NOT IN (SELECT id FROM chosen)
                ORDER BY priority, ready_at DESC
                LIMIT 1
            ),
            (
                SELECT true
                FROM durex.commands
                WHERE queue = lane.queue AND state IN ('scheduled', 'repeating') AND ready_at <= :now
                  AND id NOT IN (SELECT id FROM chosen)
                ORDER BY ready_at DESC
                LIMIT 1
            ),
            (
                SELECT true
                FROM durex.commands
                WHERE queue = lane.queue AND state <> 'started' AND expires_at IS NOT NULL AND expires_at <= :now
                  AND id NOT IN (SELECT id FROM chosen)
                ORDER BY expires_at DESC
                LIMIT 1
            )
        ) END AS is_ready,
        least(
            (
                -- What was chosen just now is being run.
                SELECT ready_at
                FROM durex.commands
                WHERE queue = lane.queue AND state IN ('scheduled', 'repeating') AND ready_at > :now
                  AND id NOT IN (SELECT id FROM chosen)
                ORDER BY ready_at
                LIMIT 1
            ),
            (
                SELECT expires_at
                FROM durex.commands
                WHERE queue = lane.queue AND state <> 'started' AND expires_at IS NOT NULL AND expires_at > :now
                  AND id NOT IN (SELECT id FROM chosen)
                ORDER BY expires_at
                LIMIT 1
            )
        ) AS moment
    FROM lane
),
ahead AS (
    SELECT
        -- Who took less than it might took all, but for what others are claiming.
        CASE WHEN (SELECT count(*) FROM chosen) = :limit THEN coalesce(bool_or(is_ready), false) OR EXISTS (
            SELECT
            FROM durex.commands
            WHERE state = 'started' AND lease_expires_at BETWEEN '-infinity' AND :now
              AND queue = ANY (ARRAY(SELECT queue FROM lane))
              AND id NOT IN (SELECT id FROM chosen)
        ) ELSE false END AS is_more,
        extract(epoch FROM min(moment) - :now)::double precision AS due_seconds
    FROM beyond
)
SELECT claimed.*, ahead.is_more, ahead.due_seconds
FROM ahead LEFT JOIN claimed ON true
