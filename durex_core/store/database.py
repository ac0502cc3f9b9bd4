"""What the store asks of a database: connections that run statements, transactions that commit or roll back."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from durex_core.errors import DatabaseBusy, DurexError
from durex_core.store.statements import Dialect

Row = dict[str, Any]
T = TypeVar("T")

_TRIES = 5


class Connection(Protocol):
    """One connection, with the caller's transaction open on it. The store never commits."""

    @property
    def dialect(self) -> Dialect:
        """The dialect that this connection speaks."""
        ...

    def run(self, statement: str, **parameters: Any) -> list[Row]:
        """Run the statement `<noun>/<verb>` and return its rows; lists and dicts travel as JSON documents.

        Raises:
            DatabaseUnavailable: the database could not be reached or ended the connection.
            DatabaseError: it refused the statement.
        """
        ...


class Database(ABC):
    """A database by URL. Opens connections when first needed, keeps them for reuse, and is safe to share by threads."""

    dialect: Dialect

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Connection]:
        """Open a transaction that commits at the end of the block and rolls back if the block raises."""

    @abstractmethod
    def autocommit(self) -> AbstractContextManager[Connection]:
        """Borrow a connection on which every statement commits by itself."""

    @abstractmethod
    def migrate(self) -> list[str]:
        """Bring the schema up to date and return the names of the migrations that were applied."""

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

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction, and again from its start if the database asks for that.

        Raises:
            DatabaseBusy: it lost against others five times in a row.
        """
        for _ in range(_TRIES - 1):
            try:
                with self.transaction() as connection:
                    return work(connection)
            except DatabaseBusy:
                continue
        with self.transaction() as connection:
            return work(connection)


class Pokes(Protocol):
    """A listener for pokes of other processes."""

    def wait(self) -> bool:
        """Wait for a poke for at most the listener's timeout and say whether one came."""
        ...


def open_database(url: str) -> Database:
    """Open a database by its URL: `sqlite:///file.db`, `sqlite:///:memory:` or `postgresql://…`.

    Raises:
        DurexError: no database of that kind is supported.
    """
    scheme, _, rest = url.partition("://")
    match scheme:
        case "sqlite":
            from durex_core.store.sqlite import SqliteDatabase  # noqa: PLC0415  only the driver in use is imported

            return SqliteDatabase(rest.removeprefix("/") or ":memory:")
        case "postgresql" | "postgres":
            from durex_core.store.postgres import PostgresDatabase  # noqa: PLC0415  only the driver in use is imported

            return PostgresDatabase(url)
    msg = f"database URL {masked(url)!r}: use sqlite:///FILE, sqlite:///:memory: or postgresql://USER@HOST/NAME"
    raise DurexError(msg)


def masked(url: str) -> str:
    """Return a database URL without its password, for messages and logs."""
    password = urlsplit(url).password
    without = url.replace(f":{password}@", ":***@") if password else url
    return re.sub(r"(password=)[^&]*", r"\1***", without)
