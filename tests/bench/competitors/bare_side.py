"""Bare rows: the least that Postgres and Python can do with three columns, which is less than a queue must.

A claim marks rows as started, so that other workers and a crash would see them; handlers run outside of any
transaction; and what is done moves to another table. Both are one statement each, sent together, so that a batch costs
one round trip and one commit. There is no lease, no fence, no attempt, no outcome: nothing of it could be left out.
"""

import json
import time
from typing import Any

import psycopg
from bench.side import Order, one_by_one, payload, ping, serve, wait_for_go

BATCH = 1000

Claimed = list[tuple[Any, ...]]
"""Ids and payloads."""

_SCHEMA = """
CREATE TABLE work (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state smallint NOT NULL DEFAULT 0,
    payload json NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX work_ready ON work (id) WHERE state = 0;
CREATE TABLE done (id bigint NOT NULL, payload json NOT NULL, done_at timestamptz NOT NULL);
CREATE INDEX done_id ON done (id);
"""
_CLAIM = """
UPDATE work SET state = 1
WHERE id = ANY (ARRAY(SELECT id FROM work WHERE state = 0 ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))
RETURNING id, payload
"""
_SETTLE = """
WITH moved AS (DELETE FROM work WHERE id = ANY (%s) RETURNING id, payload)
INSERT INTO done SELECT id, payload, now() FROM moved
"""
_INSERT = "INSERT INTO work (payload) VALUES (%s)"
_INSERT_AND_TELL = """
WITH told AS MATERIALIZED (SELECT pg_notify('work', ''))
INSERT INTO work (payload) SELECT %s::json FROM told
"""


def install(order: Order) -> None:
    """Make the schema."""
    with psycopg.connect(order.url, autocommit=True) as connection:
        connection.execute(_SCHEMA)


def enqueue(order: Order) -> float:
    """Insert one per commit."""
    with psycopg.connect(order.url, autocommit=True, prepare_threshold=0) as connection:
        return one_by_one(lambda number: connection.execute(_INSERT, (_text(number),)), order.count)


def load(order: Order) -> float:
    """Copy all at once."""
    with psycopg.connect(order.url, autocommit=True) as connection:
        started_at = time.perf_counter()
        with connection.cursor().copy("COPY work (payload) FROM STDIN") as copy:
            for number in range(order.count):
                copy.write_row((_text(number),))
        return time.perf_counter() - started_at


def work(order: Order) -> None:
    """Claim, run and move, batch by batch, until ended; when there is nothing, wait for a notification."""
    ledger = order.open_ledger()
    handler = ledger.hear if order.settings.get("latency") else ledger.run
    with psycopg.connect(order.url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute("LISTEN work")
        wait_for_go()
        claimed = connection.execute(_CLAIM, (BATCH,), binary=True).fetchall()
        while True:
            for _, given in claimed:
                handler(given["n"])
            claimed = _settle_and_claim(connection, claimed) if claimed else _wait_and_claim(connection)


def pings(order: Order) -> None:
    """Insert and notify, for an idle worker."""
    with psycopg.connect(order.url, autocommit=True, prepare_threshold=0) as connection:
        ping(lambda number: connection.execute(_INSERT_AND_TELL, (_text(number),)), order)


def _settle_and_claim(connection: psycopg.Connection, claimed: Claimed) -> Claimed:
    with connection.pipeline():
        connection.execute(_SETTLE, ([command_id for command_id, _ in claimed],))
        return connection.execute(_CLAIM, (BATCH,), binary=True).fetchall()


def _wait_and_claim(connection: psycopg.Connection) -> Claimed:
    for _ in connection.notifies(timeout=1, stop_after=1):
        pass
    return connection.execute(_CLAIM, (BATCH,), binary=True).fetchall()


def _text(number: int) -> str:
    return json.dumps(payload(number))


if __name__ == "__main__":
    serve(install=install, enqueue=enqueue, load=load, work=work, pings=pings)
