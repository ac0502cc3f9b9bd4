-- Ends attempts that do not end their command: it waits for its delay, the attempt goes into the history. A row missing
-- from the answer had lost its lease.
UPDATE commands
SET state = ended.value ->> 'state',
    ready_at = :now + CAST(round((ended.value ->> 'delay_seconds') * 1000000) AS INTEGER),
    attempt = attempt - (ended.value ->> 'given_back'),
    ending = ended.value ->> 'ending',
    expires_at = iif(ended.value ->> 'ending' IS NULL, deadline_at, NULL),
    lease_expires_at = NULL,
    started_at = NULL,
    worker = NULL,
    history = json_insert(
        CASE WHEN json_array_length(history) < 50 THEN history ELSE json_remove(history, '$[0]') END,
        '$[#]',
        json_object(
            'outcome', ended.value ->> 'outcome', 'attempt', attempt, 'lease_number', lease_number, 'worker', worker,
            'started_at', started_at, 'ended_at', :now, 'error', json(ended.value -> 'error'),
            'hook_error', json(ended.value -> 'hook_error')
        )
    )
FROM json_each(:rows) AS ended
WHERE commands.id = ended.value ->> 'id'
  AND commands.lease_number = ended.value ->> 'lease_number'
  AND commands.state = 'started'
  AND commands.lease_expires_at > :now
RETURNING commands.id, commands.lease_number
