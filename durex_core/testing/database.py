"""A database on virtual time: every statement that would ask the database for its clock is told the virtual now."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from durex_core.store.database import Connection, Database, Pokes, Row
from durex_core.store.migrate import Migration
from durex_core.store.statements import Dialect
from durex_core.testing.clock import VirtualClock


class VirtualTimeConnection:
    """A connection that passes the virtual now wherever none is given."""

    def __init__(self, connection: Connection, clock: VirtualClock) -> None:
        """Wrap a connection of the store."""
        self.dialect: Dialect = connection.dialect
        self._connection = connection
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        """Be the wrapped connection in everything else."""
        return getattr(self._connection, name)

    def run(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a statement on virtual time."""
        return self._connection.run(statement, **self._dated(parameters))

    def select(self, text: str, **parameters: Any) -> list[Row]:
        """Run a query that was composed, on virtual time."""
        return self._connection.select(text, **self._dated(parameters))

    def poke(self) -> None:
        """Poke through the wrapped connection."""
        self._connection.poke()

    def _dated(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return parameters if parameters.get("now") else {**parameters, "now": self._clock.now}


class VirtualTimeDatabase(Database):
    """A database on virtual time. `close` leaves the wrapped one open: it belongs to whoever opened it."""

    def __init__(self, database: Database, clock: VirtualClock) -> None:
        """Wrap an opened database."""
        self.dialect = database.dialect
        self.is_listened_to = database.is_listened_to
        self._database = database
        self._clock = clock

    @contextmanager
    def transaction(self) -> Iterator[VirtualTimeConnection]:
        """Open a transaction of the wrapped database."""
        with self._database.transaction() as connection:
            yield VirtualTimeConnection(connection, self._clock)

    @contextmanager
    def autocommit(self) -> Iterator[VirtualTimeConnection]:
        """Borrow a connection of the wrapped database."""
        with self._database.autocommit() as connection:
            yield VirtualTimeConnection(connection, self._clock)

    @contextmanager
    def joined(self, raw: Any) -> Iterator[VirtualTimeConnection]:
        """Use a connection of the caller's, on virtual time."""
        with self._database.joined(raw) as connection:
            yield VirtualTimeConnection(connection, self._clock)

    def migrate(self, wanted: Sequence[Migration] | None = None) -> list[str]:
        """Bring the schema of the wrapped database up to date; migrations are dated by the real clock."""
        return self._database.migrate(wanted)

    def close(self) -> None:
        """Do nothing: an application that is closed in a test keeps its commands."""

    def poke(self) -> None:
        """Poke through the wrapped database."""
        self._database.poke()

    def listen(self, timeout_seconds: float) -> AbstractContextManager[Pokes]:
        """Listen to the wrapped database."""
        return self._database.listen(timeout_seconds)
