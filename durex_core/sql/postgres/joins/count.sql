-- Counts arrivals down. What then waits for nothing more is ready; the answer says what each command still awaits.
WITH counted AS MATERIALIZED (
    SELECT command.id, row.arrived
    FROM durex.commands AS command
    JOIN jsonb_to_recordset(:rows) AS row (command_id uuid, arrived integer) ON command.id = row.command_id
    WHERE command.state = 'waiting'
    -- Whoever counts for several locks them in one order.
    ORDER BY command.id
    FOR UPDATE OF command
)
UPDATE durex.commands AS command
SET awaits = command.awaits - counted.arrived,
    state = CASE WHEN command.awaits > counted.arrived THEN 'waiting' ELSE 'pending' END,
    ready_at = CASE WHEN command.awaits > counted.arrived THEN command.ready_at ELSE :now END,
    expires_at = CASE
        WHEN command.awaits > counted.arrived THEN command.expires_at
        ELSE least(
            command.deadline_at, :now + make_interval(secs => (command.extras ->> 'start_within_seconds')::float8)
        )
    END
FROM counted
WHERE command.id = counted.id
RETURNING command.id, command.queue, command.awaits
