"""The database as simulated processes see it: on virtual time, with faults, and one transaction after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from durex_core.errors import DatabaseUnavailable
from durex_core.store.database import Connection, Database, Pokes, Row
from durex_core.store.migrate import Migration
from durex_core.store.statements import Dialect
from durex_core.testing.cloud.faults import Fate
from durex_core.testing.cloud.lives import Process
from durex_core.testing.cloud.storage import Storage
from durex_core.testing.cloud.world import World
from durex_core.testing.database import VirtualTimeConnection, VirtualTimeDatabase

Around = Callable[[str, dict[str, Any], Callable[[], list[Row]]], list[Row]]

# Statements that commit by themselves and make work ready, of which others are to be told.
_TOLD_OF = frozenset({"commands/enqueue_one", "commands/put_back", "commands/repeat"})

IDLE_SECONDS = 60.0
"""How long the database keeps a connection that nobody uses."""

_LOCKED_SECONDS = 0.005
_AWAY_SECONDS = 2.0


class SimulatedDatabase(Database):
    """A database whose every statement and transaction is a call of the running process, and may meet a fault.

    Attributes:
        connects: when processes opened connections, in seconds of the line of time, each with where it runs. They use
            one until it was idle for a minute.
        is_away: whether the database answers nobody.
        around: called with each statement of a process, its parameters and what runs it.
    """

    def __init__(self, storage: Storage, world: World) -> None:
        """Wrap a database in memory, which has one connection."""
        self.dialect: Dialect = storage.database.dialect
        self.connects: list[tuple[float, str]] = []
        self.is_away = False
        self._database = VirtualTimeDatabase(storage.database, world.timeline.clock)
        self._connection = VirtualTimeConnection(storage.connection, world.timeline.clock)
        self._world = world
        self.around: Around = lambda _statement, _parameters, run: run()
        self._used_at: dict[str, float] = {}
        self._holder: Process | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction. The process may be killed in it; if it is frozen, then before."""
        process = self._world.processes.here
        if process is None:
            with self._database.transaction() as connection:
                yield connection
            return
        fate = self._meet(process, "database:transaction", may_be_killed_inside=True)
        self._wait_for_others(process)
        self._holder = process
        process.is_in_transaction = True
        try:
            with self._connection.committing():
                yield _Noted(self, self._connection, self._world)
                if fate is Fate.KILLED:
                    self._world.processes.kill(process.life)
                process.check()
        finally:
            process.is_in_transaction = False
            self._holder = None
        process.life.owes_wakes = True
        self._world.changed()
        self._answer(fate)

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Borrow a connection on which every statement commits by itself, and each may meet a fault."""
        process = self._world.processes.here
        if process is None:
            with self._database.autocommit() as connection:
                yield connection
            return
        self._look_for_it("connect")
        yield _Statements(self, process)

    @contextmanager
    def joined(self, raw: Any) -> Iterator[Connection]:
        """Use a connection of the caller's, on virtual time."""
        with self._database.joined(raw) as connection:
            yield connection

    def migrate(self, wanted: Sequence[Migration] | None = None) -> list[str]:
        """Bring the schema of the wrapped database up to date."""
        return self._database.migrate(wanted)

    def close(self) -> None:
        """Do nothing: the wrapped database belongs to whoever opened it."""

    def poke(self) -> None:
        """Do nothing: nobody listens."""

    def listen(self, timeout_seconds: float) -> AbstractContextManager[Pokes]:
        """Listen to the wrapped database."""
        return self._database.listen(timeout_seconds)

    @property
    def is_in_transaction(self) -> bool:
        """Whether a process has a transaction open, so that what can be read is not committed yet."""
        return self._holder is not None

    def run_alone(self, process: Process, statement: str, parameters: dict[str, Any]) -> list[Row]:
        """Run a statement of a process that commits by itself."""
        fate = self._meet(process, f"database:{statement}")
        self._wait_for_others(process)
        found = self.around(statement, parameters, partial(self._connection.run, statement, **parameters))
        process.life.owes_wakes |= statement in _TOLD_OF
        self._world.changed()
        self._answer(fate)
        return found

    def select_alone(self, process: Process, text: str, parameters: dict[str, Any]) -> list[Row]:
        """Run a query that was composed."""
        self._answer(self._meet(process, "database:select"))
        self._wait_for_others(process)
        return self._connection.select(text, **parameters)

    def _meet(self, process: Process, name: str, *, may_be_killed_inside: bool = False) -> Fate:
        self._look_for_it(name)
        self._count(process)
        fate = self._world.meet(name, kill_inside=may_be_killed_inside)
        if fate is Fate.REFUSED:
            raise DatabaseUnavailable(f"{name} was refused")
        return fate

    def _look_for_it(self, name: str) -> None:
        if self.is_away:
            self._world.note(f"database:{name} finds it away")
            self._world.processes.sleep(_AWAY_SECONDS)
            raise DatabaseUnavailable(f"{name}: the database is away", is_in_doubt=False)

    def _count(self, process: Process) -> None:
        now = self._world.timeline.seconds
        if now - self._used_at.get(process.home, -IDLE_SECONDS) >= IDLE_SECONDS:
            self.connects.append((now, process.home))
        self._used_at[process.home] = now

    def _wait_for_others(self, process: Process) -> None:
        """Let the transaction of another process end first."""
        while self._holder is not None and self._holder is not process:
            self._world.processes.sleep(_LOCKED_SECONDS)

    def _answer(self, fate: Fate) -> None:
        if fate is Fate.UNANSWERED:
            raise DatabaseUnavailable("the answer of the database was lost")


class _Statements:
    """A connection on which every statement is a call by itself."""

    def __init__(self, database: SimulatedDatabase, process: Process) -> None:
        self.dialect: Dialect = database.dialect
        self._database = database
        self._process = process

    def run(self, statement: str, **parameters: Any) -> list[Row]:
        return self._database.run_alone(self._process, statement, parameters)

    def select(self, text: str, **parameters: Any) -> list[Row]:
        return self._database.select_alone(self._process, text, parameters)

    def poke(self) -> None:
        pass


class _Noted:
    """A connection inside of a transaction, whose statements are remembered in the trace."""

    def __init__(self, database: SimulatedDatabase, connection: Connection, world: World) -> None:
        self.dialect: Dialect = connection.dialect
        self._database = database
        self._connection = connection
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def run(self, statement: str, **parameters: Any) -> list[Row]:
        self._world.note(f"  {statement}")
        run = partial(self._connection.run, statement, **parameters)
        return self._database.around(statement, parameters, run)

    def select(self, text: str, **parameters: Any) -> list[Row]:
        return self._connection.select(text, **parameters)

    def poke(self) -> None:
        pass
