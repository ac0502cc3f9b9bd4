"""Postgres: connections and transactions through psycopg.

Connections are in autocommit mode. They carry no session state and prepare nothing on the server, so that a pooler or a
proxy may stand between, unless they are used again and found to lead straight to it. A connection that broke is thrown
away; the next use opens a new one.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from durex_core.clock import utc_now
from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable
from durex_core.store import migrate, statements
from durex_core.store.callers import driver_connection, wrong
from durex_core.store.database import Access, Database, Row, masked
from durex_core.store.impatience import opened
from durex_core.store.postgres_connection import CHANNEL, PostgresConnection, read_in_our_way
from durex_core.store.postgres_errors import translated

_MIGRATION_LOCK = 0x6475726578  # "durex" in ASCII
_OLDEST = 150000
_PLACE_SECONDS = 10.0


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
                raw.execute(f"LISTEN {CHANNEL}")
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
        read_in_our_way(raw)
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


def _is_direct(raw: psycopg.Connection[Row]) -> bool:
    """Whether the server itself is at the other end: a pooler introduces itself with a process id that it made up."""
    row = raw.execute("SELECT pg_backend_pid() AS process_id").fetchone()
    return row is not None and row["process_id"] == raw.info.backend_pid
