-- The first schema: live commands, finished commands, keys. Moments are microseconds since 1970-01-01 UTC.

CREATE TABLE commands (
    id               TEXT NOT NULL PRIMARY KEY,
    name             TEXT NOT NULL,
    queue            TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('scheduled', 'pending', 'started', 'waiting', 'repeating', 'paused')),
    priority         INTEGER NOT NULL,
    ready_at         INTEGER NOT NULL,
    attempt          INTEGER NOT NULL DEFAULT 0,
    retries          INTEGER NOT NULL,
    run              INTEGER NOT NULL DEFAULT 1,
    lease_number     INTEGER NOT NULL DEFAULT 0,
    lease_expires_at INTEGER,
    started_at       INTEGER,
    created_at       INTEGER NOT NULL,
    timeout_seconds  REAL,
    dead_letter      INTEGER NOT NULL CHECK (dead_letter IN (0, 1)),
    parent_id        TEXT,
    worker           TEXT,
    correlation_id   TEXT,
    unique_key       TEXT,
    idempotency_key  TEXT,
    payload          TEXT CHECK (payload IS NULL OR json_valid(payload)),
    backoff          TEXT CHECK (backoff IS NULL OR json_valid(backoff)),
    tags             TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),
    history          TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(history)),
    CHECK ((state = 'started') = (lease_expires_at IS NOT NULL))
);

-- The three scans of a claim. Each holds only the rows of its state, so that waiting work costs a claim nothing.
CREATE INDEX commands_pending ON commands (queue, priority DESC, ready_at) WHERE state = 'pending';
CREATE INDEX commands_scheduled ON commands (queue, ready_at) WHERE state = 'scheduled';
CREATE INDEX commands_leases ON commands (lease_expires_at) WHERE state = 'started';
CREATE UNIQUE INDEX commands_unique_key ON commands (unique_key) WHERE unique_key IS NOT NULL;

CREATE TABLE finished_commands (
    id               TEXT NOT NULL PRIMARY KEY,
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
    error            TEXT CHECK (error IS NULL OR json_valid(error))
);

-- SQLite has no partitions: pruning reads by class and age.
CREATE INDEX finished_commands_age ON finished_commands (retention, finished_at);

-- Written in the transaction that enqueues; outlives the command and every redelivery of the request.
CREATE TABLE keys (
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    command_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX keys_expiry ON keys (expires_at);

CREATE VIEW all_commands AS
SELECT id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, lease_expires_at, started_at,
       NULL AS finished_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id,
       unique_key, idempotency_key, payload, backoff, tags, history, NULL AS result, NULL AS error
FROM commands
UNION ALL
SELECT id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, NULL, started_at,
       finished_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id,
       unique_key, idempotency_key, payload, backoff, tags, history, result, error
FROM finished_commands;
