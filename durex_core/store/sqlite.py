"""SQLite: connections, types and transactions.

A file database is in write-ahead mode with every commit synced, so that what enqueue accepted survives a power cut.
Writers queue at `BEGIN IMMEDIATE`; readers never wait. `:memory:` has one connection, lent to one thread at a time.
"""

import random
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable, DurexError, RowExists, SchemaMissing
from durex_core.store import migrate, statements
from durex_core.store.callers import driver_connection, wrong
from durex_core.store.database import Database, Maker, as_columns, as_dict
from durex_core.store.json_values import holds
from durex_core.store.sqlite_values import read_columns, to_sqlite

_BUSY_TIMEOUT_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_WAL_TRIES = 300
_OLDEST = (3, 38, 0)


class SqliteConnection:
    """One SQLite connection."""

    dialect: statements.Dialect = "sqlite"

    def __init__(self, raw: sqlite3.Connection) -> None:
        """Wrap a driver connection that is in autocommit mode."""
        self.raw = raw

    def run(self, statement: str, *, make: Maker = as_dict, **parameters: Any) -> list[Any]:
        """Run the statement and return its rows; several parts run in one transaction."""
        return self._run(statements.load("sqlite", statement), parameters, make)

    def select(self, text: str, *, make: Maker = as_dict, **parameters: Any) -> list[Any]:
        """Run a query that was composed."""
        return self._run(statements.parse("sqlite", "select", text), parameters, make)

    def _run(self, loaded: statements.Statement, parameters: Mapping[str, Any], make: Maker) -> list[Any]:
        bound = {name: to_sqlite(value) for name, value in parameters.items()}
        bound.setdefault("now", None)
        is_whole = len(loaded.parts) == 1
        with nullcontext() if is_whole else self.committing(), _translated(loaded.name):
            if not is_whole and bound["now"] is None:
                # One moment for all parts: a lease that ends in between would hold for one and not for the next.
                (bound["now"],) = self.raw.execute(statements.load("sqlite", "clock/read").parts[0], bound).fetchone()
            return [row for part in loaded.parts for row in self._rows(part, bound, make)]

    def poke(self) -> None:
        """Do nothing: listeners see the file change."""

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Open a write transaction around the block, unless one is open already."""
        if self.raw.in_transaction:
            yield
            return
        with _translated("BEGIN"):
            self.raw.execute("BEGIN IMMEDIATE")
        try:
            yield
            with _translated("COMMIT"):
                self.raw.execute("COMMIT")
        except BaseException:
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            raise

    def _rows(self, part: str, bound: dict[str, Any], make: Maker) -> list[Any]:
        cursor = self.raw.cursor()
        cursor.row_factory = None  # a connection of the caller's may give its rows another form
        cursor.execute(part, bound)
        if not cursor.description:
            return []
        names = tuple(column[0] for column in cursor.description)
        return make(names)(read_columns(names, as_columns(names, cursor.fetchall())))


class SqliteDatabase(Database):
    """A SQLite file, or `:memory:`."""

    dialect: statements.Dialect = "sqlite"

    def __init__(self, path: str) -> None:
        """Name the file; it is made when first used."""
        if sqlite3.sqlite_version_info < _OLDEST:
            msg = f"SQLite {sqlite3.sqlite_version} is too old, durex needs 3.38 or newer; use a newer Python"
            raise DurexError(msg)
        self._path = path
        self._in_memory = path == ":memory:"
        self._idle: list[SqliteConnection] = []
        self._lock = threading.Lock()
        self._only_one = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[SqliteConnection]:
        """Open a write transaction."""
        with self._borrowed() as connection, connection.committing():
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[SqliteConnection]:
        """Borrow a connection on which every statement commits by itself."""
        with self._borrowed() as connection:
            yield connection

    @contextmanager
    def joined(self, raw: Any) -> Iterator[SqliteConnection]:
        """Use a sqlite3 connection of the caller's."""
        driver = driver_connection(raw)
        if not isinstance(driver, sqlite3.Connection):
            raise wrong(raw, "a sqlite3.Connection")
        connection = SqliteConnection(driver)
        commits_alone = driver.isolation_level is None and getattr(driver, "autocommit", True) is not False
        with connection.committing() if commits_alone else nullcontext():
            yield connection

    def migrate(self, wanted: Sequence[migrate.Migration] | None = None) -> list[str]:
        """Bring the schema up to date; processes that start together take turns."""
        with self.transaction() as connection, _translated("migrate"):
            return migrate.apply(_SqliteTarget(connection.raw), wanted or migrate.migrations(self.dialect))

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.raw.close()

    def poke(self) -> None:
        """Do nothing: listeners see the file change."""

    @contextmanager
    def listen(self, timeout_seconds: float) -> Iterator["_DataVersion"]:
        """Listen by looking at the file's change counter, which costs no query on any table."""
        raw = self._connect()
        try:
            yield _DataVersion(raw, timeout_seconds)
        finally:
            raw.close()

    @contextmanager
    def _borrowed(self) -> Iterator[SqliteConnection]:
        if self._in_memory:
            with self._only_one:
                yield self._take()
            return
        connection = self._take()
        try:
            yield connection
        finally:
            with self._lock:
                self._idle.append(connection)

    def _take(self) -> SqliteConnection:
        with self._lock:
            if self._idle:
                return self._idle[0] if self._in_memory else self._idle.pop()
            connection = SqliteConnection(self._connect())
            if self._in_memory:
                self._idle.append(connection)
            return connection

    def _connect(self) -> sqlite3.Connection:
        if not self._in_memory and not Path(self._path).absolute().parent.is_dir():
            msg = f"cannot open {self._path}: its folder does not exist; make it first"
            raise DatabaseUnavailable(msg)
        with _translated("connect"):
            raw = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                raw.create_function("holds", 2, holds, deterministic=True)
                raw.execute("PRAGMA synchronous = FULL")
                _enter_wal(raw)
            except sqlite3.Error:
                raw.close()
                raise
        return raw


def _enter_wal(raw: sqlite3.Connection) -> None:
    """Put a file into write-ahead mode, which it keeps.

    Connections that do this at the same moment each hold what the other waits for: so none of them waits, all but one
    step back, and they look again after a pause of random length.
    """
    raw.execute("PRAGMA busy_timeout = 0")
    for _ in range(_WAL_TRIES):
        try:
            raw.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            threading.Event().wait(random.uniform(0.005, 0.05))  # noqa: S311  a pause, not a secret
    raw.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT_SECONDS * 1000)}")


class _DataVersion:
    """Watches `PRAGMA data_version`, which changes when another connection commits."""

    are_certain = True

    def __init__(self, raw: sqlite3.Connection, timeout_seconds: float) -> None:
        self._raw = raw
        self._looks = max(1, round(timeout_seconds / _LOOK_SECONDS))
        self._pause = threading.Event()
        self._seen = self._version()

    def wait(self) -> bool:
        for _ in range(self._looks):
            self._pause.wait(_LOOK_SECONDS)
            version = self._version()
            if version != self._seen:
                self._seen = version
                return True
        return False

    def _version(self) -> int:
        with _translated("data_version"):
            return int(self._raw.execute("PRAGMA data_version").fetchone()[0])


class _SqliteTarget:
    """What `migrate.apply` asks of SQLite, inside one transaction."""

    dialect: statements.Dialect = "sqlite"

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def prepare(self) -> None:
        self._raw.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
        )

    def applied(self) -> dict[int, str]:
        return dict(self._raw.execute("SELECT version, checksum FROM migrations"))

    def execute(self, script: str) -> None:
        for part in statements.parse("sqlite", "migration", script).parts:
            self._raw.execute(part)

    def record(self, version: int, name: str, checksum: str) -> None:
        self._raw.execute(
            "INSERT INTO migrations VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))", (version, name, checksum)
        )


@contextmanager
def _translated(statement: str) -> Iterator[None]:
    """Turn driver errors into durex's, naming the statement."""
    try:
        yield
    except sqlite3.Error as error:
        raise _durex_error(statement, error) from error


def _durex_error(statement: str, error: sqlite3.Error) -> DatabaseError:
    message = f"{statement}: {error}"
    if message.startswith("UNIQUE", len(statement) + 2):
        return RowExists(message)
    if "no such table" in message or "no such column" in message:
        return SchemaMissing(f"{message}; run `durex migrate`")
    if "locked" in message or "busy" in message:
        return DatabaseBusy(message)
    if "unable to open" in message or "disk" in message:
        return DatabaseUnavailable(message)
    return DatabaseError(message)
