-- Takes the most urgent ready commands of these queues under a new lease: expired leases, due ones, pending ones; and
-- what expires. Rows that another worker is claiming are passed over. A taken-over lease leaves its crash in the
-- history; a command whose budget is spent, or whose time is over, keeps its attempt number and is handed over for its
-- ending. The last row, like all of them, says what the claim left: whether more is ready, and in how many seconds
-- another command becomes ready by itself. If nothing was taken it is a row without a command.
WITH lane AS MATERIALIZED (
    SELECT jsonb_array_elements_text(:queues) AS queue
),
chosen AS MATERIALIZED (
    -- What is overdue may be due or pending too: no scan passes over it, since there may be many before the others.
    SELECT DISTINCT ON (priority, ready_at, id) priority, ready_at, id
    FROM (
        SELECT * FROM (
            SELECT priority, ready_at, id
            FROM durex.commands
            WHERE state = 'started' AND lease_expires_at <= :now AND queue = ANY (ARRAY(SELECT queue FROM lane))
            ORDER BY lease_expires_at
            LIMIT :limit
            FOR UPDATE SKIP LOCKED
        ) AS expired
        UNION ALL
        SELECT found.*
        FROM lane CROSS JOIN LATERAL (
            SELECT * FROM (
                SELECT priority, ready_at, id
                FROM durex.commands
                WHERE queue = lane.queue AND state <> 'started' AND expires_at IS NOT NULL AND expires_at <= :now
                ORDER BY expires_at
                LIMIT :limit
                FOR UPDATE SKIP LOCKED
            ) AS overdue
            UNION ALL
            SELECT * FROM (
                SELECT priority, ready_at, id
                FROM durex.commands
                WHERE queue = lane.queue AND state IN ('scheduled', 'repeating') AND ready_at <= :now
                ORDER BY ready_at
                LIMIT :limit
                FOR UPDATE SKIP LOCKED
            ) AS due
            UNION ALL
            SELECT * FROM (
                SELECT priority, ready_at, id
                FROM durex.commands
                WHERE queue = lane.queue AND state = 'pending'
                ORDER BY priority DESC, ready_at
                LIMIT :limit
                FOR UPDATE SKIP LOCKED
            ) AS pending
        ) AS found
    ) AS candidate
    ORDER BY priority DESC, ready_at, id
    LIMIT :limit
),
claimed AS (
    UPDATE durex.commands AS command
    SET state = 'started',
        attempt = CASE
            WHEN command.ending IS NOT NULL OR command.expires_at <= :now THEN command.attempt
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
        history = CASE
            WHEN command.state <> 'started' THEN command.history
            ELSE CASE WHEN jsonb_array_length(command.history) < 50 THEN command.history ELSE command.history - 0 END
                || jsonb_build_object(
                    'outcome', 'crashed', 'attempt', command.attempt, 'lease_number', command.lease_number,
                    'worker', command.worker, 'started_at', command.started_at, 'ended_at', :now
                )
        END
    WHERE command.id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING command.*
),
ahead AS (
    SELECT
        -- Who took less than it might took all, but for what others are claiming. What is least urgent is looked at
        -- first: there nothing was taken yet, unless little was left.
        CASE WHEN (SELECT count(*) FROM chosen) = :limit THEN EXISTS (
            SELECT
            FROM lane CROSS JOIN LATERAL (
                (
                    SELECT
                    FROM durex.commands
                    WHERE queue = lane.queue AND state = 'pending' AND id NOT IN (SELECT id FROM chosen)
                    ORDER BY priority, ready_at DESC
                    LIMIT 1
                )
                UNION ALL
                (
                    SELECT
                    FROM durex.commands
                    WHERE queue = lane.queue AND state IN ('scheduled', 'repeating') AND ready_at <= :now
                      AND id NOT IN (SELECT id FROM chosen)
                    ORDER BY ready_at DESC
                    LIMIT 1
                )
                UNION ALL
                (
                    SELECT
                    FROM durex.commands
                    WHERE queue = lane.queue AND state <> 'started' AND expires_at IS NOT NULL AND expires_at <= :now
                      AND id NOT IN (SELECT id FROM chosen)
                    ORDER BY expires_at DESC
                    LIMIT 1
                )
            ) AS found
        ) OR EXISTS (
            SELECT
            FROM durex.commands
            WHERE state = 'started' AND lease_expires_at <= :now AND queue = ANY (ARRAY(SELECT queue FROM lane))
              AND id NOT IN (SELECT id FROM chosen)
        ) ELSE false END AS is_more,
        extract(epoch FROM (
            SELECT min(found.moment)
            FROM lane CROSS JOIN LATERAL (
                (
                    -- What was chosen just now is being run.
                    SELECT ready_at AS moment
                    FROM durex.commands
                    WHERE queue = lane.queue AND state IN ('scheduled', 'repeating') AND ready_at > :now
                      AND id NOT IN (SELECT id FROM chosen)
                    ORDER BY ready_at
                    LIMIT 1
                )
                UNION ALL
                (
                    SELECT expires_at
                    FROM durex.commands
                    WHERE queue = lane.queue AND state <> 'started' AND expires_at IS NOT NULL AND expires_at > :now
                      AND id NOT IN (SELECT id FROM chosen)
                    ORDER BY expires_at
                    LIMIT 1
                )
            ) AS found
        ) - :now)::double precision AS due_seconds
)
SELECT claimed.*, ahead.is_more, ahead.due_seconds
FROM ahead LEFT JOIN claimed ON true
