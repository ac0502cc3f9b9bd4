"""Prepared statements: what a connection keeps at its server, parsed and planned once, and then only runs.

A plan that is kept must not go by how much there was when it was made: a table that was empty then would be read from
end to end for as long as the statistics say so. So plans are made for any parameters, and read by index wherever there
is one. That, and what is prepared, is state of the session, which a pooler hands to others: it is for connections that
lead straight to their server.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import psycopg
from psycopg import errors as sqlstates
from psycopg import generators
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.pq import ExecStatus, Format, TransactionStatus

from durex_core.errors import DatabaseBusy
from durex_core.store.database import Maker, as_columns
from durex_core.store.postgres_values import READERS, read_columns

_SETTLE_IN = """
SELECT set_config(name, value, false)
FROM (VALUES ('enable_seqscan', 'off'), ('plan_cache_mode', 'force_generic_plan'), ('jit', 'off')) AS own (name, value)
WHERE pg_backend_pid() = %s
"""
# Its plan answers with other columns than it did, since the schema was migrated; or somebody had it forgotten.
_OUTDATED = (sqlstates.FeatureNotSupported, sqlstates.InvalidSqlStatementName)
_PARAMETER = re.compile(r"%(?:\(([\w.]+)\)s|%)")


class _Unread:
    """What lets a driver leave as bytes what the store reads itself."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.connection = raw
        self.adapters = AdaptersMap(raw.adapters)
        as_bytes: Any = raw.adapters.get_loader(raw.adapters.types["bytea"].oid, Format.BINARY)
        for kind in READERS:
            self.adapters.register_loader(kind, as_bytes)


class Prepared:
    """The statements that a connection of durex's own has prepared, for one thread at a time.

    It does what a cursor of the driver's would do, in a third of the time.
    """

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        """Begin with none."""
        self._raw = raw
        self._transformer = Transformer(raw)
        self._unread = Transformer(_Unread(raw))
        self._names: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._columns: dict[bytes, tuple[tuple[str, ...], list[int]]] = {}
        self._seen: set[str] = set()
        self._made = 0

    @classmethod
    def where_direct(cls, raw: psycopg.Connection[Any]) -> Self | None:
        """Settle in at the server, if a connection leads straight to it: a pooler made up its process id."""
        return cls(raw) if raw.execute(_SETTLE_IN, (raw.info.backend_pid,)).fetchone() else None

    def is_worthwhile(self, text: str) -> bool:
        """Whether a statement ran here before: what runs once goes to the server whole, in a single message."""
        if text in self._seen:
            return True
        self._seen.add(text)
        return False

    def run(self, text: str, bound: Mapping[str, Any], make: Maker) -> list[Any]:
        """Run a statement, which is prepared first if it is new here, and return its rows.

        Raises:
            DatabaseBusy: its plan was outdated, and the transaction is to be tried again.
        """
        try:
            return self._run(text, bound, make)
        except _OUTDATED as error:
            self._names.clear()
            if self._raw.info.transaction_status is not TransactionStatus.IDLE:
                raise DatabaseBusy(f"the schema has changed meanwhile: {error}") from error
        return self._run(text, bound, make)

    def _run(self, text: str, bound: Mapping[str, Any], make: Maker) -> list[Any]:
        query, given = _numbered(text)
        transformer, pgconn = self._transformer, self._raw.pgconn
        parameters = transformer.dump_sequence([bound[name] for name in given], [PyFormat.AUTO] * len(given))
        types = transformer.types or ()
        name = self._names.get((text, types)) or self._prepare(text, query, types)
        pgconn.send_query_prepared(name, parameters, transformer.formats, Format.BINARY)
        result = self._answer()
        if result.status != ExecStatus.TUPLES_OK:
            return []
        if name not in self._columns:
            places = range(result.nfields)
            names = tuple((result.fname(place) or b"").decode() for place in places)
            self._columns[name] = names, [result.ftype(place) for place in places]
        names, kinds = self._columns[name]
        self._unread.set_pgresult(result)
        found = self._unread.load_rows(0, result.ntuples, tuple)
        return make(names)(read_columns(kinds, as_columns(names, found)))

    def _prepare(self, text: str, query: bytes, types: tuple[int, ...]) -> bytes:
        # A name is never used again: what was forgotten here may be known there.
        self._made += 1
        name = f"durex_{self._made}".encode()
        self._raw.pgconn.send_prepare(name, query, types)
        self._answer()
        self._names[text, types] = name
        return name

    def _answer(self) -> Any:
        """Wait for the answer to what was sent, as the driver does: it can be interrupted."""
        result = self._raw.wait(generators.execute(self._raw.pgconn))[-1]
        if result.status == ExecStatus.FATAL_ERROR:
            raise sqlstates.error_from_result(result, self._raw.info.encoding)
        return result


@cache
def _numbered(text: str) -> tuple[bytes, list[str]]:
    """Return a statement with numbers for its parameters, as the server takes it, and their names in that order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PARAMETER.sub(number, text).encode(), names
