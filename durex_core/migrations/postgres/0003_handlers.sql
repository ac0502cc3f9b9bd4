-- What each handler gives the commands of its name, as its application last said: for those who enqueue in SQL.
CREATE TABLE durex.handlers (
    name         text PRIMARY KEY,
    template     json NOT NULL,
    published_at timestamptz NOT NULL
);

-- A UUID of version 7 (RFC 9562 §5.7): one of version 4, with the time in its first 48 bits and two bits more set.
CREATE FUNCTION durex.new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT encode(
        set_bit(
            set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6
                ),
                52, 1
            ),
            53, 1
        ),
        'hex'
    )::uuid
$$;

-- Refuses a value that is out of its bounds, naming the option.
CREATE FUNCTION durex.check_option(option text, is_allowed boolean, rule text) RETURNS void LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF NOT is_allowed THEN  -- null: not given
        RAISE EXCEPTION 'durex.enqueue: %: %', option, rule USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

-- Whether every reader can take a document in: nested at most 200 deep, no number beyond what a double holds, and no text
-- that cannot be searched (or the cast fails).
CREATE FUNCTION durex.is_readable(document json) RETURNS boolean LANGUAGE sql IMMUTABLE
AS $$
    SELECT NOT jsonb_path_exists(document::jsonb, '$.**{200}')
       AND NOT jsonb_path_exists(document::jsonb, '$.** ? (@.type() == "number" && (@ > 1.79e308 || @ < -1.79e308))')
$$;

-- Merges two objects, of which the second wins, and leaves every value as it is written: jsonb would round its numbers.
CREATE FUNCTION durex.merged(lower json, upper json) RETURNS json LANGUAGE sql IMMUTABLE
AS $$
    SELECT json_object_agg(pair.key, pair.value)
    FROM (
        SELECT key, value FROM json_each(lower) WHERE key NOT IN (SELECT json_object_keys(upper))
        UNION ALL
        SELECT key, value FROM json_each(upper)
    ) AS pair
$$;

-- Stores a command in the caller's transaction, with the options of its handler unless others are given. A taken
-- idempotency key, or a unique key that a live command holds, yields that command, and created is false. The payload is
-- checked against the handler's type when it runs.
CREATE FUNCTION durex.enqueue(
    name            text,
    payload         json        DEFAULT NULL,
    delay           interval    DEFAULT NULL,
    run_at          timestamptz DEFAULT NULL,
    priority        integer     DEFAULT NULL,
    retries         integer     DEFAULT NULL,
    timeout         interval    DEFAULT NULL,
    deadline        interval    DEFAULT NULL,
    deadline_at     timestamptz DEFAULT NULL,
    start_within    interval    DEFAULT NULL,
    period          interval    DEFAULT NULL,
    dead_letter     boolean     DEFAULT NULL,
    tags            text[]      DEFAULT NULL,
    metadata        json        DEFAULT NULL,
    correlation_id  text        DEFAULT NULL,
    traceparent     text        DEFAULT NULL,
    unique_key      text        DEFAULT NULL,
    idempotency_key text        DEFAULT NULL,
    OUT id          uuid,
    OUT created     boolean
) LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    key_pattern CONSTANT text := '^[^\x01-\x1f\x7f]{1,255}$';
    longest     CONSTANT interval := interval '3660 days';
    earliest    CONSTANT timestamptz := '1970-01-01 00:00Z';
    latest      CONSTANT timestamptz := '9000-01-01 00:00Z';
    years       CONSTANT text := 'give a moment of the years 1970 to 8999';
    unreadable  CONSTANT text := 'is nested deeper than 200, or has a number beyond 1.79e308';
    template    json;
    extras      json;
    new_id      uuid := durex.new_id();
    due_at      timestamptz;
    bound_at    timestamptz;
BEGIN
    SELECT handlers.template INTO template FROM durex.handlers WHERE handlers.name = enqueue.name;
    IF template IS NULL THEN
        RAISE EXCEPTION 'durex.enqueue: name: no command named % is known', quote_nullable(enqueue.name)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Handlers are made known by `durex migrate`, and by workers when they start.';
    END IF;
    PERFORM durex.check_option('delay', delay BETWEEN interval '0' AND longest, 'give 0 to 3660 days');
    PERFORM durex.check_option('run_at', delay IS NULL OR run_at IS NULL, 'cannot go with a delay');
    PERFORM durex.check_option('run_at', run_at >= earliest AND run_at < latest, years);
    PERFORM durex.check_option('deadline_at', deadline_at >= earliest AND deadline_at < latest, years);
    PERFORM durex.check_option('run_at', run_at < deadline_at, 'is not before deadline_at: it would never run');
    PERFORM durex.check_option('priority', priority BETWEEN -32768 AND 32767, 'give -32768 to 32767');
    PERFORM durex.check_option('retries', retries BETWEEN 0 AND 1000, 'give 0 to 1000');
    PERFORM durex.check_option('timeout', timeout BETWEEN interval '0' AND interval '7 days', 'give 0 to 7 days');
    PERFORM durex.check_option('deadline', deadline BETWEEN interval '0' AND longest, 'give 0 to 3660 days');
    PERFORM durex.check_option('deadline', deadline IS NULL OR deadline_at IS NULL, 'cannot go with deadline_at');
    PERFORM durex.check_option('start_within', start_within BETWEEN interval '0' AND longest, 'give 0 to 3660 days');
    PERFORM durex.check_option(
        'period', period > interval '0' AND period <= longest, 'give more than 0, at most 3660 days'
    );
    PERFORM durex.check_option('tags', cardinality(tags) <= 20, 'give at most 20');
    PERFORM durex.check_option(
        'tags', NOT EXISTS (SELECT 1 FROM unnest(tags) AS tag WHERE tag IS NULL OR tag !~ '^[^\x01-\x1f\x7f]{1,100}$'),
        'each has 1 to 100 characters, none of them a control character'
    );
    PERFORM durex.check_option('metadata', json_typeof(metadata) = 'object', 'give a JSON object');
    PERFORM durex.check_option('metadata', octet_length(metadata::text) <= 16384, 'give at most 16 KiB');
    PERFORM durex.check_option('payload', octet_length(payload::text) <= 1048576, 'give at most 1 MiB of JSON');
    PERFORM durex.check_option('payload', durex.is_readable(payload), unreadable);
    PERFORM durex.check_option('metadata', durex.is_readable(metadata), unreadable);
    PERFORM durex.check_option('correlation_id', correlation_id ~ key_pattern, 'give 1 to 255 printable characters');
    PERFORM durex.check_option('unique_key', unique_key ~ key_pattern, 'give 1 to 255 printable characters');
    PERFORM durex.check_option('idempotency_key', idempotency_key ~ key_pattern, 'give 1 to 255 printable characters');
    PERFORM durex.check_option(
        'traceparent',
        traceparent ~ '^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$',
        'give a W3C traceparent, version 00'
    );

    IF idempotency_key IS NOT NULL THEN
        INSERT INTO durex.keys AS held (scope, key, command_id, expires_at)
        VALUES ('idempotency:' || enqueue.name, idempotency_key, new_id, now() + interval '15 days')
        ON CONFLICT (scope, key) DO UPDATE
        SET command_id = CASE WHEN held.expires_at <= now() THEN excluded.command_id ELSE held.command_id END,
            expires_at = CASE WHEN held.expires_at <= now() THEN excluded.expires_at ELSE held.expires_at END
        RETURNING held.command_id INTO id;
        IF id <> new_id THEN
            created := false;
            RETURN;
        END IF;
    END IF;

    metadata := durex.merged(template #> '{extras,metadata}', metadata);
    SELECT json_object_agg(pair.key, pair.value) FILTER (WHERE pair.value IS NOT NULL) INTO extras
    FROM (
        SELECT own.key, own.value
        FROM json_each((template ->> 'extras')::json) AS own
        WHERE NOT (own.key = 'deadline_seconds' AND (deadline IS NOT NULL OR deadline_at IS NOT NULL))
          AND NOT (own.key = 'start_within_seconds' AND start_within IS NOT NULL)
          AND NOT (own.key = 'period_seconds' AND period IS NOT NULL)
          AND NOT (own.key = 'metadata')
        UNION ALL
        -- Zero is none.
        VALUES ('deadline_seconds', to_json(nullif(extract(epoch FROM deadline), 0))),
               ('start_within_seconds', to_json(nullif(extract(epoch FROM start_within), 0))),
               ('period_seconds', to_json(extract(epoch FROM period))),
               ('traceparent', to_json(traceparent)),
               ('metadata', metadata)
    ) AS pair;
    IF payload IS NULL THEN
        payload := template -> 'payload';
    ELSIF json_typeof(payload) = 'object' AND json_typeof(template -> 'payload') = 'object' THEN
        payload := durex.merged(template -> 'payload', payload);
    END IF;
    delay := coalesce(delay, make_interval(secs => (template ->> 'delay_seconds')::float8));
    due_at := coalesce(run_at, now() + delay);
    bound_at := coalesce(deadline_at, due_at + make_interval(secs => (extras ->> 'deadline_seconds')::float8));

    FOR attempt IN 1 .. 5 LOOP
        INSERT INTO durex.commands (
            id, name, queue, state, priority, ready_at, created_at, retries, timeout_seconds, dead_letter,
            correlation_id, unique_key, idempotency_key, payload, backoff, tags, deadline_at, expires_at, extras
        )
        VALUES (
            new_id,
            enqueue.name,
            template ->> 'queue',
            CASE WHEN due_at > now() THEN 'scheduled' ELSE 'pending' END,
            coalesce(priority, (template ->> 'priority')::integer),
            due_at,
            now(),
            coalesce(retries, (template ->> 'retries')::integer),
            nullif(coalesce(extract(epoch FROM timeout), (template ->> 'timeout_seconds')::float8), 0),
            coalesce(dead_letter, (template ->> 'dead_letter')::boolean),
            correlation_id,
            unique_key,
            idempotency_key,
            nullif(payload::text, 'null')::json,
            nullif((template ->> 'backoff')::jsonb, 'null'),
            coalesce(to_jsonb(tags), (template ->> 'tags')::jsonb),
            bound_at,
            least(bound_at, due_at + make_interval(secs => (extras ->> 'start_within_seconds')::float8)),
            extras
        )
        ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING;
        IF FOUND THEN
            PERFORM pg_notify('durex_wake', '');
            id := new_id;
            created := true;
            RETURN;
        END IF;
        -- The holder may finish between the two statements; then the key is free and the next round takes it.
        SELECT commands.id INTO id FROM durex.commands WHERE commands.unique_key = enqueue.unique_key;
        IF FOUND THEN
            UPDATE durex.keys SET command_id = enqueue.id
            WHERE scope = 'idempotency:' || enqueue.name AND key = enqueue.idempotency_key;
            created := false;
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'durex.enqueue: unique_key % changed hands 5 times; try again', quote_literal(unique_key)
        USING ERRCODE = 'serialization_failure';
END
$$;
