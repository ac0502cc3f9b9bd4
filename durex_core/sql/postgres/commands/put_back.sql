-- Ends attempts that do not end their command: it waits for its delay, the attempt goes into the history. A row missing
-- from the answer had lost its lease.
UPDATE durex.commands AS command
SET state = ended.state,
    ready_at = :now + make_interval(secs => ended.delay_seconds),
    attempt = command.attempt - ended.given_back,
    ending = ended.ending,
    expires_at = CASE WHEN ended.ending IS NULL THEN command.deadline_at END,
    lease_expires_at = NULL,
    started_at = NULL,
    worker = NULL,
    history = CASE WHEN jsonb_array_length(command.history) < 50 THEN command.history ELSE command.history - 0 END
        || jsonb_build_object(
            'outcome', ended.outcome, 'attempt', command.attempt, 'lease_number', command.lease_number,
            'worker', command.worker, 'started_at', command.started_at, 'ended_at', :now, 'error', ended.error,
            'hook_error', ended.hook_error
        )
FROM (
    SELECT *, 'started' AS was, :now AS moment
    FROM jsonb_to_recordset(:rows) AS row (
        id uuid, lease_number bigint, state text, delay_seconds double precision, given_back integer, outcome text,
        error jsonb, ending text, hook_error jsonb
    )
    -- No limit, but the planner reckons with fewer: it looks them up by key, whatever it knows of the table.
    LIMIT (SELECT NULL::bigint)
) AS ended
WHERE command.id = ended.id
  AND command.lease_number = ended.lease_number
  AND command.state = ended.was
  AND command.lease_expires_at > ended.moment
RETURNING command.id, command.lease_number
