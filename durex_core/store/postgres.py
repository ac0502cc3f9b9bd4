"""Postgres: connections and transactions through psycopg.

Connections are in autocommit mode. They carry no session state and prepare nothing on the server, so that a pooler or a
proxy may stand between, unless they are used again and found to lead straight to it. A connection that broke is thrown
away; the next use opens a new one.
"""

import selectors
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from durex_core.clock import utc_now
from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable
from durex_core.store import migrate, rows, statements
from durex_core.store.callers import driver_connection, wrong
from durex_core.store.database import Access, Database, Maker, Row, as_dict, masked
from durex_core.store.impatience import NoAnswer, opened
from durex_core.store.postgres_errors import translated
from durex_core.store.prepared import Prepared

_CHANNEL = "durex_wake"
_POKE = f"SELECT pg_notify('{_CHANNEL}', '')".encode()
_MIGRATION_LOCK = 0x6475726578  # "durex" in ASCII
_OLDEST = 150000
_PLACE_SECONDS = 10.0
_DOCUMENTS = frozenset({list, dict})
_FRESH = timedelta(seconds=20)
_PREPARES_AT_USE = 2
# The kind that holds nothing that would have to be closed.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
_EMPTY = b"\x01[]"  # after the version of its form
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


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
        cursor = psycopg.Cursor(self.raw, row_factory=_factory(make)).execute(text, bound, binary=True)
        return cursor.fetchall() if cursor.description else []

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


class PostgresDatabase(Database):
    """A Postgres database by URL."""

    dialect: statements.Dialect = "postgres"

    def __init__(self, url: str, access: Access) -> None:
        """Name the database; nothing is opened yet."""
        self._url = url
        self._access = access
        self.is_listened_to = access.is_resident
        self._idle: list[PostgresConnection] = []
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(access.max_connections) if access.max_connections else None

    @contextmanager
    def transaction(self) -> Iterator[PostgresConnection]:
        """Open a transaction."""
        with self.autocommit() as connection, translated("transaction"), connection.raw.transaction():
            yield connection

    def autocommit(self) -> AbstractContextManager[PostgresConnection]:
        """Borrow a connection on which every statement commits by itself."""
        return self._borrowed(may_prepare=self._access.is_resident)

    @contextmanager
    def joined(self, raw: Any) -> Iterator[PostgresConnection]:
        """Use a psycopg connection of the caller's."""
        driver = driver_connection(raw)
        if not isinstance(driver, psycopg.Connection):
            raise wrong(raw, "psycopg's (version 3)")
        is_alone = driver.autocommit and driver.info.transaction_status == TransactionStatus.IDLE
        with driver.transaction() if is_alone else nullcontext():
            yield PostgresConnection(driver)

    def migrate(self, wanted: Sequence[migrate.Migration] | None = None) -> list[str]:
        """Bring the schema up to date; processes that start together take turns."""
        with self.transaction() as connection:
            self._check_version(connection.raw)
            return migrate.apply(_PostgresTarget(connection.raw), wanted or migrate.migrations(self.dialect))

    def close(self) -> None:
        """Close the idle connections."""
        self._drop_idle()

    def poke(self) -> None:
        """Notify listeners; a hint, so that whatever keeps it from being given is no error."""
        with suppress(DatabaseError), self._borrowed(may_prepare=False) as connection:
            connection.send_poke()

    @contextmanager
    def listen(self, timeout_seconds: float) -> Iterator["_Notifications"]:
        """Listen on a connection of its own."""
        raw = self._connect()
        try:
            with translated("listen"):
                is_direct = _is_direct(raw)
                if is_direct:  # to be idle is what a listener is there for
                    raw.execute("SET idle_session_timeout = 0")
                raw.execute(f"LISTEN {_CHANNEL}")
            yield _Notifications(raw, timeout_seconds, are_certain=is_direct)
        finally:
            raw.close()

    @contextmanager
    def _borrowed(self, *, may_prepare: bool) -> Iterator[PostgresConnection]:
        with nullcontext() if self._room is None else self._place(self._room):
            connection = self._take_idle() or PostgresConnection(self._connect())
            try:
                if may_prepare:
                    connection.settle_in()
                yield connection
            except DatabaseUnavailable:
                connection.raw.close()
                self._drop_idle()
                raise
            finally:
                if not connection.raw.closed:
                    connection.used_at = utc_now()
                    with self._lock:
                        self._idle.append(connection)

    @contextmanager
    def _place(self, room: threading.BoundedSemaphore) -> Iterator[None]:
        """Wait for one of the connections that may be open at a time."""
        if not room.acquire(timeout=_PLACE_SECONDS):
            raise DatabaseBusy(f"no connection became free within {_PLACE_SECONDS:g} s")
        try:
            yield
        finally:
            room.release()

    def _take_idle(self) -> PostgresConnection | None:
        """Return an idle connection that the server has not ended meanwhile, if there is one."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.can_be_used_again():
                return connection
            connection.raw.close()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.raw.close()

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            raw = opened(
                make_conninfo(self._url, **self._parameters()),
                answer_seconds=self._access.answer_timeout_seconds,
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=None,
            )
        except psycopg.ProgrammingError:
            # libpq quotes what it cannot read, which may be the password.
            msg = f"cannot read the database URL {masked(self._url)}; percent-encode what is special in it"
            raise DatabaseError(msg) from None
        except psycopg.Error as error:
            msg = f"cannot connect to {masked(self._url)}: {error}"
            raise DatabaseUnavailable(msg, is_in_doubt=False) from error
        raw.adapters.register_loader("timestamptz", _MomentLoader)
        raw.adapters.register_loader("jsonb", _DocumentLoader)
        set_json_loads(rows.read_document, raw)
        return raw

    def _parameters(self) -> dict[str, str | int]:
        access = self._access
        chosen: dict[str, str | int | None] = {
            "application_name": "durex",
            # A server that vanished without a word (a failover) is noticed in seconds, not in a quarter of an hour.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "connect_timeout": access.connect_timeout_seconds,
            "password": access.password() if access.password else None,
            "sslmode": access.sslmode,
            "sslrootcert": access.certificates,
        }
        return {name: value for name, value in chosen.items() if value is not None}

    def _check_version(self, raw: psycopg.Connection[Row]) -> None:
        version = raw.info.server_version
        if version < _OLDEST:
            msg = f"Postgres {version // 10000} is too old, durex needs 15 or newer"
            raise DatabaseError(msg)


class _DocumentLoader(Loader):
    """Reads a document; most are empty lists."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        text = bytes(data)
        return [] if text == _EMPTY else rows.read_document(text[1:])


class _MomentLoader(Loader):
    """Reads a moment: microseconds since 2000. Those of many rows are often the same."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        return _moment(bytes(data))


@lru_cache(maxsize=256)
def _moment(data: bytes) -> datetime:
    return _EPOCH + timedelta(microseconds=int.from_bytes(data, signed=True))


class _Notifications:
    """Waits for NOTIFY."""

    def __init__(self, raw: psycopg.Connection[Row], timeout_seconds: float, *, are_certain: bool) -> None:
        self.are_certain = are_certain
        self._raw = raw
        self._timeout_seconds = timeout_seconds

    def wait(self) -> bool:
        with translated("listen"):
            return any(True for _ in self._raw.notifies(timeout=self._timeout_seconds, stop_after=1))


class _PostgresTarget:
    """What `migrate.apply` asks of Postgres, inside one transaction."""

    dialect: statements.Dialect = "postgres"

    def __init__(self, raw: psycopg.Connection[Row]) -> None:
        self._raw = raw

    def prepare(self) -> None:
        self._raw.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        self._raw.execute("CREATE SCHEMA IF NOT EXISTS durex")
        self._raw.execute(
            "CREATE TABLE IF NOT EXISTS durex.migrations (version integer PRIMARY KEY, name text NOT NULL,"
            " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )

    def applied(self) -> dict[int, str]:
        rows = self._raw.execute("SELECT version, checksum FROM durex.migrations").fetchall()
        return {row["version"]: row["checksum"] for row in rows}

    def execute(self, script: str) -> None:
        self._raw.execute(script)

    def record(self, version: int, name: str, checksum: str) -> None:
        self._raw.execute(
            "INSERT INTO durex.migrations (version, name, checksum) VALUES (%s, %s, %s)", (version, name, checksum)
        )


def _factory(make: Maker) -> Callable[[psycopg.Cursor[Any]], Callable[[Sequence[Any]], Any]]:
    """Return a maker of rows as the driver takes it."""

    def row(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Any]:
        result = cursor.pgresult
        names = (result.fname(place) or b"" for place in range(result.nfields)) if result else ()
        return make(tuple(name.decode() for name in names))

    return row


def _bound(parameters: Mapping[str, Any]) -> dict[str, Any]:
    bound = {"now": None, **parameters}
    for name, value in parameters.items():
        if type(value) in _DOCUMENTS:
            bound[name] = rows.document(value)
    return bound


def _is_direct(raw: psycopg.Connection[Row]) -> bool:
    """Whether the server itself is at the other end: a pooler introduces itself with a process id that it made up."""
    row = raw.execute("SELECT pg_backend_pid() AS process_id").fetchone()
    return row is not None and row["process_id"] == raw.info.backend_pid


def _answers(raw: psycopg.Connection[Row]) -> bool:
    """Ask whether there still is a server, and one that can be written to."""
    return raw.execute("SELECT 1 WHERE NOT pg_is_in_recovery()").fetchone() is not None
