-- Counts arrivals down. What then waits for nothing more is ready; the answer says what each command still awaits.
UPDATE commands
SET awaits = awaits - (row.value ->> 'arrived'),
    state = iif(awaits > row.value ->> 'arrived', 'waiting', 'pending'),
    ready_at = iif(awaits > row.value ->> 'arrived', ready_at, :now),
    expires_at = iif(
        awaits > row.value ->> 'arrived',
        expires_at,
        min(
            coalesce(
                deadline_at, :now + CAST(round((extras ->> 'start_within_seconds') * 1000000) AS INTEGER)
            ),
            coalesce(
                :now + CAST(round((extras ->> 'start_within_seconds') * 1000000) AS INTEGER), deadline_at
            )
        )
    )
FROM json_each(:rows) AS row
WHERE commands.id = row.value ->> 'command_id' AND commands.state = 'waiting'
RETURNING commands.id, commands.queue, commands.awaits
