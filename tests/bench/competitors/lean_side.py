"""The lean limit: the least SQL that claims and moves rows of durex's width, by a queue's rules and with fences.

Ids are made by the client. A claim takes the most urgent and then the oldest of a queue, by a partial index, counts the
attempt and writes a lease. Handlers run outside of any transaction. The outcomes of a batch travel as one JSON
document; each is fenced by its lease, and its row moves to another table, which has an index by id. Both statements are
sent together, so that a batch costs one round trip and one commit. There is no retry, no schedule, no key, no history.
"""

import json
import time
from typing import Any
from uuid import UUID

import psycopg
from bench.side import Order, payload, serve, wait_for_go

BATCH = 1000

Claimed = list[tuple[Any, ...]]
"""Ids, lease numbers and payloads."""

_SCHEMA = """
CREATE TABLE work (
    id               uuid PRIMARY KEY,
    name             text NOT NULL,
    queue            text NOT NULL,
    state            text NOT NULL DEFAULT 'pending',
    priority         integer NOT NULL DEFAULT 0,
    ready_at         timestamptz NOT NULL DEFAULT now(),
    attempt          integer NOT NULL DEFAULT 0,
    retries          integer NOT NULL DEFAULT 0,
    lease_number     bigint NOT NULL DEFAULT 0,
    lease_expires_at timestamptz,
    started_at       timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    timeout_seconds  double precision,
    dead_letter      boolean NOT NULL DEFAULT true,
    worker           text,
    correlation_id   text,
    unique_key       text,
    payload          json,
    tags             jsonb NOT NULL DEFAULT '[]',
    history          jsonb NOT NULL DEFAULT '[]'
) WITH (fillfactor = 70);
CREATE INDEX work_pending ON work (queue, priority DESC, ready_at) WHERE state = 'pending';
CREATE TABLE done (LIKE work, finished_at timestamptz NOT NULL, result json, error jsonb);
CREATE INDEX done_id ON done (id);
"""
_CLAIM = """
UPDATE work
SET state = 'started', attempt = attempt + 1, lease_number = lease_number + 1, started_at = now(),
    lease_expires_at = now() + interval '30 seconds', worker = %s
WHERE id = ANY (ARRAY(
    SELECT id FROM work WHERE queue = 'noop' AND state = 'pending'
    ORDER BY priority DESC, ready_at LIMIT %s FOR UPDATE SKIP LOCKED
))
RETURNING id::text, lease_number, payload
"""
_SETTLE = """
WITH outcomes AS (
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS outcome (id uuid, lease_number bigint, state text, result json)
), moved AS (
    DELETE FROM work USING outcomes
    WHERE work.id = outcomes.id AND work.lease_number = outcomes.lease_number AND work.lease_expires_at > now()
    RETURNING work.*, outcomes.state AS ended_as, outcomes.result
)
INSERT INTO done
SELECT id, name, queue, ended_as, priority, ready_at, attempt, retries, lease_number, NULL, started_at, created_at,
    timeout_seconds, dead_letter, worker, correlation_id, unique_key, payload, tags, history, now(), result, NULL
FROM moved
"""


def install(order: Order) -> None:
    """Make the schema."""
    with psycopg.connect(order.url, autocommit=True) as connection:
        connection.execute(_SCHEMA)


def load(order: Order) -> float:
    """Copy all at once."""
    with psycopg.connect(order.url, autocommit=True) as connection:
        started_at = time.perf_counter()
        with connection.cursor().copy("COPY work (id, name, queue, payload) FROM STDIN") as copy:
            for number in range(order.count):
                copy.write_row((_new_id(number), "noop", "noop", json.dumps(payload(number))))
        return time.perf_counter() - started_at


def work(order: Order) -> None:
    """Claim, run and move, batch by batch, until ended."""
    ledger = order.open_ledger()
    claim = ("lean", BATCH)
    with psycopg.connect(order.url, autocommit=True, prepare_threshold=0) as connection:
        wait_for_go()
        claimed: Claimed = connection.execute(_CLAIM, claim, binary=True).fetchall()
        while True:
            for _, _, given in claimed:
                ledger.run(given["n"])
            with connection.pipeline():
                if claimed:
                    connection.execute(_SETTLE, (_outcomes(claimed),))
                claimed = connection.execute(_CLAIM, claim, binary=True).fetchall()


def _outcomes(claimed: Claimed) -> str:
    return json.dumps(
        [
            {"id": command_id, "lease_number": lease_number, "state": "completed", "result": None}
            for command_id, lease_number, _ in claimed
        ]
    )


def _new_id(number: int) -> UUID:
    """Return an id that rises, as one of version 7 does."""
    return UUID(int=(time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | 0b10 << 62 | number)


if __name__ == "__main__":
    serve(install=install, load=load, work=work)
