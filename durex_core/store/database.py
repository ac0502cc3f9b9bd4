"""What the store asks of a database: connections that run statements, transactions that commit or roll back."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from durex_core.errors import DatabaseBusy, InvalidDatabaseUrl
from durex_core.records import record
from durex_core.store.migrate import Migration
from durex_core.store.statements import Dialect

Row = dict[str, Any]
Answer = Sequence[Sequence[Any]]
"""The columns of an answer, each with its values."""
Maker = Callable[[tuple[str, ...]], Callable[[Answer], list[Any]]]
"""Makes, of the names of an answer's columns, what makes its rows."""

T = TypeVar("T")

_TRIES = 5

# A password may hold any character unescaped, as far as libpq can read it: from the first colon to the last @.
_PASSWORD = re.compile(r"(://[^:@/]*):.*@", re.DOTALL)
_PASSWORD_OPTION = re.compile(r"(password=)[^&]*", re.IGNORECASE)


class Connection(Protocol):
    """One connection, with the caller's transaction open on it. The store never commits."""

    @property
    def dialect(self) -> Dialect:
        """The dialect that this connection speaks."""
        ...

    def run(self, statement: str, *, make: Maker = ..., **parameters: Any) -> list[Any]:
        """Run the statement `<noun>/<verb>` and return its rows, as dicts unless `make` makes something else of them.

        Lists and dicts travel as JSON documents.

        Raises:
            DatabaseUnavailable: the database could not be reached or ended the connection.
            DatabaseError: it refused the statement.
        """
        ...

    def poke(self) -> None:
        """Tell workers in other processes, once this transaction commits, that there may be work."""
        ...

    def select(self, text: str, *, make: Maker = ..., **parameters: Any) -> list[Any]:
        """Run a query that was composed, with its parameters as in a SQL file."""
        ...


class Database(ABC):
    """A database by URL. Opens connections when first needed, keeps them for reuse, and is safe to share by threads."""

    dialect: Dialect
    is_listened_to = False
    """Whether a commit is to poke the workers of other processes, which do not notice it by themselves."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Connection]:
        """Open a transaction that commits at the end of the block and rolls back if the block raises."""

    @abstractmethod
    def autocommit(self) -> AbstractContextManager[Connection]:
        """Borrow a connection on which every statement commits by itself."""

    @abstractmethod
    def joined(self, raw: Any) -> AbstractContextManager[Connection]:
        """Use a driver's connection of the caller's, in whose transaction everything stays until the caller commits.

        One that commits each statement by itself, outside of a transaction, gets one for the block.

        Raises:
            WrongConnection: it is no connection of this database's driver.
        """

    @abstractmethod
    def migrate(self, wanted: Sequence[Migration] | None = None) -> list[str]:
        """Bring the schema up to date (or apply the wanted migrations) and return the names of what was applied.

        Raises:
            MigrationError: an applied migration has another text than before.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the idle connections."""

    @abstractmethod
    def poke(self) -> None:
        """Tell workers in other processes that there may be work; a hint, and free to be lost."""

    @abstractmethod
    def listen(self, timeout_seconds: float) -> AbstractContextManager["Pokes"]:
        """Listen for what other processes do to this database."""

    def run(self, statement: str, **parameters: Any) -> list[Row]:
        """Run one statement that commits by itself."""
        with self.autocommit() as connection:
            return connection.run(statement, **parameters)

    def transact(self, work: Callable[[Connection], T], *, is_one_statement: bool = False) -> T:
        """Run `work` in a transaction, and again from its start if the database asks for that.

        What `is_one_statement` is a transaction by itself, and spares the database two round trips.

        Raises:
            DatabaseBusy: it lost against others five times in a row.
        """
        begin = self.autocommit if is_one_statement else self.transaction
        for _ in range(_TRIES - 1):
            try:
                with begin() as connection:
                    return work(connection)
            except DatabaseBusy:
                continue
        with begin() as connection:
            return work(connection)


class Pokes(Protocol):
    """A listener for pokes of other processes."""

    @property
    def are_certain(self) -> bool:
        """Whether every poke arrives here; a pooler that stands between may keep them to itself."""
        ...

    def wait(self) -> bool:
        """Wait for a poke for at most the listener's timeout and say whether one came."""
        ...


@record
class Access:
    """How to get into a Postgres server, beyond what its URL says.

    Attributes:
        password: gives the current password at each connect (default: the URL's, or none).
        sslmode: libpq's, such as `verify-full` (default: the URL's, or libpq's own).
        certificates: the file of root certificates to trust (default: libpq's own).
        connect_timeout_seconds: a database that resumes from its pause takes up to 30 s to answer.
        max_connections: how many may be open at a time, listeners aside (default: as many as threads ask for).
        answer_timeout_seconds: how long the server may take over one answer before its connection is given up
            (default: until it is seen to be gone).
        is_resident: whether this process stays for a while, beside workers that listen to the server. Then connections
            that lead straight there may keep state, such as prepared statements, and commits poke the workers.
    """

    password: Callable[[], str] | None = None
    sslmode: str | None = None
    certificates: str | None = None
    connect_timeout_seconds: int = 10
    max_connections: int | None = None
    answer_timeout_seconds: float | None = None
    is_resident: bool = True


def as_columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Answer:
    """Return the columns of an answer that came row by row."""
    return list(zip(*rows, strict=True)) or [()] * len(names)


def as_dict(names: tuple[str, ...]) -> Callable[[Answer], list[Row]]:
    """Make dicts of rows, by the names of their columns."""
    return lambda columns: [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def as_tuple(names: tuple[str, ...]) -> Callable[[Answer], list[tuple[Any, ...]]]:  # noqa: ARG001  any will do
    """Leave rows as they come: their values in the order of the columns."""
    return lambda columns: list(zip(*columns, strict=True))


def as_whole(names: tuple[str, ...]) -> Callable[[Answer], list[dict[str, Sequence[Any]]]]:
    """Leave all rows together: one dict of their columns."""
    return lambda columns: [dict(zip(names, columns, strict=True))]


def open_database(url: str, access: Access | None = None) -> Database:
    """Open a database by its URL: `sqlite:///file.db`, `sqlite:///:memory:` or `postgresql://…`.

    Raises:
        InvalidDatabaseUrl: no database of that kind is supported.
    """
    scheme, _, rest = url.partition("://")
    match scheme:
        case "sqlite":
            from durex_core.store.sqlite import SqliteDatabase  # noqa: PLC0415  only the driver in use is imported

            return SqliteDatabase(rest.removeprefix("/") or ":memory:")
        case "postgresql" | "postgres":
            from durex_core.store.postgres import PostgresDatabase  # noqa: PLC0415  only the driver in use is imported

            return PostgresDatabase(url, access or Access())
    msg = f"database URL {masked(url)!r}: use sqlite:///FILE, sqlite:///:memory: or postgresql://USER@HOST/NAME"
    raise InvalidDatabaseUrl(msg)


def masked(url: str) -> str:
    """Return a database URL without its password, for messages and logs; in doubt, more of it is masked."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))
