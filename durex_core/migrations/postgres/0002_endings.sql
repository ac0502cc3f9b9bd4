-- Deadlines, runs, joins, compensations, and the indexes to find commands by.

ALTER TABLE durex.commands
    ADD COLUMN deadline_at   timestamptz,
    ADD COLUMN expires_at    timestamptz,  -- the deadline, or the moment by which the first attempt must have started
    ADD COLUMN ending        text CHECK (ending IN ('failed', 'expired')),
    ADD COLUMN extras        json,
    ADD COLUMN progress      json,
    ADD COLUMN compensations json,
    ADD COLUMN join_id       uuid,  -- the waiting command that is to hear of this one's end
    ADD COLUMN awaits        integer NOT NULL DEFAULT 0,
    ADD COLUMN children      json;

-- What waits for its next run waits as what waits for its first.
DROP INDEX durex.commands_scheduled;
CREATE INDEX commands_scheduled ON durex.commands (queue, ready_at) WHERE state IN ('scheduled', 'repeating');

-- The fourth scan of a claim: what expires. Most commands have no deadline and are not in it.
CREATE INDEX commands_expiring ON durex.commands (queue, expires_at) WHERE expires_at IS NOT NULL AND state <> 'started';

CREATE INDEX commands_parent ON durex.commands (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX commands_correlation ON durex.commands (correlation_id, id) WHERE correlation_id IS NOT NULL;
CREATE INDEX commands_tags ON durex.commands USING gin (tags) WHERE tags <> '[]';

ALTER TABLE durex.finished_commands
    ADD COLUMN deadline_at timestamptz,
    ADD COLUMN expires_at  timestamptz,
    ADD COLUMN extras      json,
    ADD COLUMN progress    json,
    ADD COLUMN join_id     uuid,
    ADD COLUMN awaits      integer NOT NULL DEFAULT 0,
    ADD COLUMN children    json,
    ADD COLUMN recovery    json;

-- A command that repeats leaves a finished row for each of its runs.
DROP INDEX durex.finished_commands_id;
CREATE INDEX finished_commands_id ON durex.finished_commands (id, run);

CREATE INDEX finished_commands_parent ON durex.finished_commands (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX finished_commands_correlation ON durex.finished_commands (correlation_id, id)
    WHERE correlation_id IS NOT NULL;
CREATE INDEX finished_commands_tags ON durex.finished_commands USING gin (tags) WHERE tags <> '[]';

-- How the commands ended that a waiting one waits for. Once all have, their rows move into its `children`.
CREATE TABLE durex.joined (
    command_id uuid NOT NULL,
    position   integer NOT NULL,
    child_id   uuid NOT NULL,
    name       text NOT NULL,
    state      text NOT NULL CHECK (state IN ('completed', 'expired', 'cancelled', 'dead_letter', 'failed')),
    result     json,
    error      json,
    PRIMARY KEY (command_id, position)
);

-- Replaced, not dropped: whoever may read it may go on.
CREATE OR REPLACE VIEW durex.all_commands AS
SELECT id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, lease_expires_at, started_at,
       NULL::timestamptz AS finished_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id,
       unique_key, idempotency_key, payload, backoff, tags, history, NULL::json AS result, NULL::jsonb AS error,
       deadline_at, expires_at, ending, extras, progress, compensations, join_id, awaits, children,
       NULL::json AS recovery
FROM durex.commands
UNION ALL
SELECT id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, NULL, started_at,
       finished_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id,
       unique_key, idempotency_key, payload, backoff, tags, history, result, error,
       deadline_at, expires_at, NULL, extras, progress, NULL, join_id, awaits, children,
       recovery
FROM durex.finished_commands;
