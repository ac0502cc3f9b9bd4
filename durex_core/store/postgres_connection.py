"""One connection to Postgres: it runs statements, in transactions of its owner's, and reads what comes back."""

import selectors
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import generators
from psycopg.rows import tuple_row

from durex_core.clock import utc_now
from durex_core.store import rows, statements
from durex_core.store.database import Maker, Row, as_columns, as_dict
from durex_core.store.impatience import NoAnswer
from durex_core.store.postgres_errors import translated
from durex_core.store.postgres_values import READERS, Array, ArrayDumper, array, loader
from durex_core.store.prepared import Prepared

CHANNEL = "durex_wake"

_POKE = f"SELECT pg_notify('{CHANNEL}', '')".encode()
_DOCUMENTS = frozenset({list, dict})
_FRESH = timedelta(seconds=20)
_PREPARES_AT_USE = 2
# The kind that holds nothing that would have to be closed.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class PostgresConnection:
    """One Postgres connection."""

    dialect: statements.Dialect = "postgres"

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        """Wrap a driver connection."""
        self.raw = raw
        self.used_at = utc_now()
        self._owes_answer = False
        self._uses = 0
        self._selector: selectors.BaseSelector | None = None
        self._prepared: Prepared | None = None

    def run(self, statement: str, *, make: Maker = as_dict, **parameters: Any) -> list[Any]:
        """Run the statement and return its rows."""
        (text,) = statements.load("postgres", statement).parts
        with translated(statement):
            if self._prepared is not None and self._prepared.is_worthwhile(text):
                return self._prepared.run(text, _bound(parameters), make)
            return self._rows(text, _bound(parameters), make)

    def select(self, text: str, *, make: Maker = as_dict, **parameters: Any) -> list[Any]:
        """Run a query that was composed."""
        (text,) = statements.parse("postgres", "select", text).parts
        with translated("select"):
            return self._rows(text, _bound(parameters), make)

    def copy(self, statement: str, blocks: Iterable[bytes]) -> None:
        """Run a COPY with the rows in these blocks."""
        with translated("commands/enqueue"), self.raw.cursor().copy(statement.encode()) as copy:
            for block in blocks:
                copy.write(block)

    def _rows(self, text: str, bound: Mapping[str, Any], make: Maker) -> list[Any]:
        cursor = psycopg.Cursor(self.raw, row_factory=tuple_row).execute(text, bound, binary=True)
        if not cursor.description:
            return []
        names = tuple(column.name for column in cursor.description)
        return make(names)(as_columns(names, cursor.fetchall()))

    def poke(self) -> None:
        """Notify listeners when this transaction commits."""
        with translated("poke"):
            self.raw.execute(_POKE)

    def send_poke(self) -> None:
        """Notify listeners at once, and leave the answer for later: that it was sent is enough for it to be done."""
        with translated("poke"):
            self.raw.pgconn.send_query(_POKE)
            self._owes_answer = True
            self.raw.wait(generators.send(self.raw.pgconn))

    def settle_in(self) -> None:
        """Prepare statements from the second use on, if it leads straight to its server: many are used only once."""
        self._uses += 1
        if self._uses == _PREPARES_AT_USE:
            with translated("connect"):
                self._prepared = Prepared.where_direct(self.raw)

    def can_be_used_again(self) -> bool:
        """Whether its server is there still, as far as can be told.

        Raises:
            DatabaseUnavailable: the server does not answer; a new connection would wait for it, too.
        """
        with translated("connect"):
            try:
                if self._owes_answer:
                    self.raw.wait(generators.fetch_many(self.raw.pgconn))
                    self._owes_answer = False
                return not self._has_word_from_server() and (self._is_fresh() or _answers(self.raw))
            except NoAnswer:
                raise
            except psycopg.Error:
                return False

    def _has_word_from_server(self) -> bool:
        """Whether an idle connection has something to read: the server's good-bye, or the end of the stream."""
        if self._selector is None:
            self._selector = _Selector()
            self._selector.register(self.raw.pgconn.socket, selectors.EVENT_READ)
        return bool(self._selector.select(0))

    def _is_fresh(self) -> bool:
        """Whether it was used a moment ago. By the wall clock: the monotonic one may stand still in a frozen Lambda."""
        return timedelta(0) <= utc_now() - self.used_at < _FRESH


def read_in_our_way(raw: psycopg.Connection[Any]) -> None:
    """Let a connection of durex's own write arrays, and read ids, moments and documents, as the store wants them."""
    raw.adapters.register_dumper(Array, ArrayDumper)
    for kind in READERS:
        raw.adapters.register_loader(kind, loader(kind))


def _bound(parameters: Mapping[str, Any]) -> dict[str, Any]:
    bound = {"now": None, **parameters}
    for name, value in parameters.items():
        if type(value) in _DOCUMENTS:
            bound[name] = rows.document(value)
        elif type(value) is rows.Columns:
            bound |= {f"{name}.{column}": array(column, values) for column, values in value.items()}
    return bound


def _answers(raw: psycopg.Connection[Row]) -> bool:
    """Ask whether there still is a server, and one that can be written to."""
    return raw.execute("SELECT 1 WHERE NOT pg_is_in_recovery()").fetchone() is not None
