-- The first schema: live commands, finished commands, keys.
-- Payloads and results are json, not jsonb: they come back to the letter, large floats and -0.0 included.

CREATE TABLE durex.commands (
    id               uuid PRIMARY KEY,
    name             text NOT NULL,
    queue            text NOT NULL,
    state            text NOT NULL CHECK (state IN ('scheduled', 'pending', 'started', 'waiting', 'repeating', 'paused')),
    priority         integer NOT NULL,
    ready_at         timestamptz NOT NULL,
    attempt          integer NOT NULL DEFAULT 0,
    retries          integer NOT NULL,
    run              integer NOT NULL DEFAULT 1,
    lease_number     bigint NOT NULL DEFAULT 0,
    lease_expires_at timestamptz,
    started_at       timestamptz,
    created_at       timestamptz NOT NULL,
    timeout_seconds  double precision,
    dead_letter      boolean NOT NULL,
    parent_id        uuid,
    worker           text,
    correlation_id   text,
    unique_key       text,
    idempotency_key  text,
    payload          json,
    backoff          jsonb,
    tags             jsonb NOT NULL DEFAULT '[]',
    history          jsonb NOT NULL DEFAULT '[]',
    CHECK ((state = 'started') = (lease_expires_at IS NOT NULL))
) WITH (fillfactor = 70);

-- The three scans of a claim. Each holds only the rows of its state, so that waiting work costs a claim nothing.
CREATE INDEX commands_pending ON durex.commands (queue, priority DESC, ready_at) WHERE state = 'pending';
CREATE INDEX commands_scheduled ON durex.commands (queue, ready_at) WHERE state = 'scheduled';
CREATE INDEX commands_leases ON durex.commands (lease_expires_at) WHERE state = 'started';
CREATE UNIQUE INDEX commands_unique_key ON durex.commands (unique_key) WHERE unique_key IS NOT NULL;

-- A look-up by id probes every partition, so they are kept few; the DEFAULT ones make sure that a command can always
-- finish, whether or not anybody made partitions ahead.
CREATE TABLE durex.finished_commands (
    id               uuid NOT NULL,
    name             text NOT NULL,
    queue            text NOT NULL,
    state            text NOT NULL CHECK (state IN ('completed', 'expired', 'cancelled', 'dead_letter', 'failed')),
    priority         integer NOT NULL,
    ready_at         timestamptz NOT NULL,
    attempt          integer NOT NULL,
    retries          integer NOT NULL,
    run              integer NOT NULL,
    lease_number     bigint NOT NULL,
    started_at       timestamptz,
    finished_at      timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    timeout_seconds  double precision,
    dead_letter      boolean NOT NULL,
    parent_id        uuid,
    worker           text,
    correlation_id   text,
    unique_key       text,
    idempotency_key  text,
    retention        text NOT NULL CHECK (retention IN ('completed', 'attention')),
    payload          json,
    backoff          jsonb,
    tags             jsonb NOT NULL,
    history          jsonb NOT NULL,
    result           json,
    error            jsonb
) PARTITION BY LIST (retention);

CREATE INDEX finished_commands_id ON durex.finished_commands (id);

CREATE TABLE durex.finished_completed PARTITION OF durex.finished_commands
    FOR VALUES IN ('completed') PARTITION BY RANGE (finished_at);
CREATE TABLE durex.finished_completed_default PARTITION OF durex.finished_completed DEFAULT;

CREATE TABLE durex.finished_attention PARTITION OF durex.finished_commands
    FOR VALUES IN ('attention') PARTITION BY RANGE (finished_at);
CREATE TABLE durex.finished_attention_default PARTITION OF durex.finished_attention DEFAULT;

-- Pruning the DEFAULT partitions reads by age.
CREATE INDEX finished_completed_default_age ON durex.finished_completed_default (finished_at);
CREATE INDEX finished_attention_default_age ON durex.finished_attention_default (finished_at);

-- Written in the transaction that enqueues; outlives the command and every redelivery of the request.
CREATE TABLE durex.keys (
    scope      text NOT NULL,
    key        text NOT NULL,
    command_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX keys_expiry ON durex.keys (expires_at);

CREATE VIEW durex.all_commands AS
SELECT id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, lease_expires_at, started_at,
       NULL::timestamptz AS finished_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id,
       unique_key, idempotency_key, payload, backoff, tags, history, NULL::json AS result, NULL::jsonb AS error
FROM durex.commands
UNION ALL
SELECT id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, NULL, started_at,
       finished_at, created_at, timeout_seconds, dead_letter, parent_id, worker, correlation_id,
       unique_key, idempotency_key, payload, backoff, tags, history, result, error
FROM durex.finished_commands;
