-- Deadlines, runs, joins, compensations, and the indexes to find commands by.

DROP VIEW all_commands;

ALTER TABLE commands ADD COLUMN deadline_at INTEGER;
-- The deadline, or the moment by which the first attempt must have started.
ALTER TABLE commands ADD COLUMN expires_at INTEGER;
ALTER TABLE commands ADD COLUMN ending TEXT CHECK (ending IN ('failed', 'expired'));
ALTER TABLE commands ADD COLUMN extras TEXT CHECK (extras IS NULL OR json_valid(extras));
ALTER TABLE commands ADD COLUMN progress TEXT CHECK (progress IS NULL OR json_valid(progress));
ALTER TABLE commands ADD COLUMN compensations TEXT CHECK (compensations IS NULL OR json_valid(compensations));
-- The waiting command that is to hear of this one's end.
ALTER TABLE commands ADD COLUMN join_id TEXT;
ALTER TABLE commands ADD COLUMN awaits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE commands ADD COLUMN children TEXT CHECK (children IS NULL OR json_valid(children));

-- What waits for its next run waits as what waits for its first.
DROP INDEX commands_scheduled;
CREATE INDEX commands_scheduled ON commands (queue, ready_at) WHERE state IN ('scheduled', 'repeating');

-- The fourth scan of a claim: what expires. Most commands have no deadline and are not in it.
CREATE INDEX commands_expiring ON commands (queue, expires_at) WHERE expires_at IS NOT NULL AND state <> 'started';

CREATE INDEX commands_parent ON commands (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX commands_correlation ON commands (correlation_id, id) WHERE correlation_id IS NOT NULL;

-- A command that repeats leaves a finished row for each of its runs.
CREATE TABLE finished_runs (
    id               TEXT NOT NULL,
    name             TEXT NOT NULL,
    queue            TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('completed', 'expired', 'cancelled', 'dead_letter', 'failed')),
    priority         INTEGER NOT NULL,
    ready_at         INTEGER NOT NULL,
    attempt          INTEGER NOT NULL,
    retries          INTEGER NOT NULL,
    run              INTEGER NOT NULL,
    lease_number     INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    timeout_seconds  REAL,
    dead_letter      INTEGER NOT NULL CHECK (dead_letter IN (0, 1)),
    parent_id        TEXT,
    worker           TEXT,
    correlation_id   TEXT,
    unique_key       TEXT,
    idempotency_key  TEXT,
    retention        TEXT NOT NULL CHECK (retention IN ('completed', 'attention')),
    payload          TEXT CHECK (payload IS NULL OR json_valid(payload)),
    backoff          TEXT CHECK (backoff IS NULL OR json_valid(backoff)),
    tags             TEXT NOT NULL CHECK (json_valid(tags)),
    history          TEXT NOT NULL CHECK (json_valid(history)),
    result           TEXT CHECK (result IS NULL OR json_valid(result)),
    error            TEXT CHECK (error IS NULL OR json_valid(error)),
    deadline_at      INTEGER,
    expires_at       INTEGER,
    extras           TEXT CHECK (extras IS NULL OR json_valid(extras)),
    progress         TEXT CHECK (progress IS NULL OR json_valid(progress)),
    join_id          TEXT,
    awaits           INTEGER NOT NULL DEFAULT 0,
    children         TEXT CHECK (children IS NULL OR json_valid(children)),
    recovery         TEXT CHECK (recovery IS NULL OR json_valid(recovery)),
    PRIMARY KEY (id, run)
);
INSERT INTO finished_runs (
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, finished_at,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    retention, payload, backoff, tags, history, result, error
)
SELECT
    id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, finished_at,
    created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key,
    retention, payload, backoff, tags, history, result, error
FROM finished_commands;
DROP TABLE finished_commands;
ALTER TABLE finished_runs RENAME TO finished_commands;

-- SQLite has no partitions: pruning reads by class and age.
CREATE INDEX finished_commands_age ON finished_commands (retention, finished_at);
CREATE INDEX finished_commands_parent ON finished_commands (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX finished_commands_correlation ON finished_commands (correlation_id, id) WHERE correlation_id IS NOT NULL;

-- How the commands ended that a waiting one waits for. Once all have, their rows move into its `children`.
CREATE TABLE joined (
    command_id TEXT NOT NULL,
    position   INTEGER NOT NULL,
    child_id   TEXT NOT NULL,
    name       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('completed', 'expired', 'cancelled', 'dead_letter', 'failed')),
    result     TEXT CHECK (result IS NULL OR json_valid(result)),
    error      TEXT CHECK (error IS NULL OR json_valid(error)),
    PRIMARY KEY (command_id, position)
) WITHOUT ROWID;

CREATE VIEW all_commands AS
SELECT id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, lease_expires_at, started_at,
       NULL AS finished_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id,
       unique_key, idempotency_key, payload, backoff, tags, history, NULL AS result, NULL AS error,
       deadline_at, expires_at, ending, extras, progress, compensations, join_id, awaits, children,
       NULL AS recovery
FROM commands
UNION ALL
SELECT id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, NULL, started_at,
       finished_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id,
       unique_key, idempotency_key, payload, backoff, tags, history, result, error,
       deadline_at, expires_at, NULL, extras, progress, NULL, join_id, awaits, children,
       recovery
FROM finished_commands;
