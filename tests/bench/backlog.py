"""What stands in a database beside the work that is measured: much that is finished, due later, or waiting.

Finished and waiting commands are copies of one that durex finished and one that waits, made in SQL whatever columns
they have: to run a million through workers first would take longer than all the rest.
"""

from dataclasses import dataclass

import psycopg
from bench.catalogue import DUREX
from bench.processes import ask
from bench.side import Order
from psycopg import sql

_MOMENT = "lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - copy), 12, '0')"
_NEW_ID = f"({_MOMENT} || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid"
_ENDED = "now() - copy * interval '0.5 seconds'"


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many commands of each kind stand beside the others."""

    finished: int
    future: int
    waiting: int

    def fill(self, url: str) -> None:
        """Put them into a database of durex."""
        ask(DUREX, "load_future", Order(url, self.future))
        ask(DUREX, "load_seeds", Order(url))
        with psycopg.connect(url, autocommit=True) as connection:
            ended = {"id": _NEW_ID, "finished_at": _ENDED}
            _copy(connection, "finished_commands", "name = 'past'", self.finished, ended)
            _copy(connection, "commands", "state = 'waiting'", self.waiting, {"id": _NEW_ID})
            connection.execute("SET search_path = durex")
            counted = "SELECT (SELECT count(*) FROM finished_commands), count(*) FROM commands WHERE state = 'waiting'"
            finished, waiting = connection.execute(counted).fetchone() or (0, 0)
        assert finished >= self.finished
        assert waiting >= self.waiting


def _copy(connection: psycopg.Connection, table: str, which: str, times: int, changed: dict[str, str]) -> None:
    """Copy the one row that a condition finds, so many times, with some columns changed."""
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'durex' AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position",
        (table,),
    )
    columns = [name for (name,) in found]
    values = [sql.SQL(changed[name]) if name in changed else sql.Identifier(name) for name in columns]
    connection.execute(
        sql.SQL(
            "INSERT INTO durex.{table} ({columns}) SELECT {values} FROM"
            " (SELECT * FROM durex.{table} WHERE {which} LIMIT 1) AS seed, generate_series(1, {times}) AS copy"
        ).format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            values=sql.SQL(", ").join(values),
            which=sql.SQL(which),
            times=sql.Literal(times),
        )
    )
