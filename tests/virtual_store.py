"""The store on virtual time: what the store tests speak in."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from factories import LEASE, QUEUE, START, new_command

from durex_core.model import Command, Compensation, Enqueued, NewCommand
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Outcome, Settlement
from durex_core.store import answers, commands, joins
from durex_core.store.commands import Claimed, Settled
from durex_core.store.database import Connection, Database

TABLES = {
    "commands": "id",
    "finished_commands": "id, run",
    "handlers": "name",
    "joined": "command_id, position",
    "keys": "scope, key",
}


class VirtualStore:
    """A database and a clock that only the test moves. Every call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        """Begin at `factories.START`."""
        self.database = database
        self.now: datetime = START

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.now += by

    def enqueue(self, *new: NewCommand) -> list[Enqueued]:
        """Store commands, all or none."""
        return self.database.transact(lambda connection: commands.enqueue(connection, new, now=self.now))

    def add(self, **options: Any) -> UUID:
        """Store one command and return the id that stands for it."""
        return self.enqueue(new_command(**options))[0].id

    def claim(self, *queues: str, **options: Any) -> list[Command]:
        """Take ready commands of these queues (default: the one that factories use)."""
        return self.look(*queues, **options).commands

    def look(
        self,
        *queues: str,
        limit: int = 10,
        lease: timedelta = LEASE,
        worker: str = "worker",
        at_once: int | None = None,
    ) -> Claimed:
        """Do the same, and return what is said of the rest, too."""
        return self.database.transact(
            lambda connection: commands.claim(
                connection, queues or [QUEUE], limit=limit, lease=lease, worker=worker, at_once=at_once, now=self.now
            )
        )

    def claim_one(self, *queues: str, **options: Any) -> Command:
        """Take the one ready command."""
        (command,) = self.claim(*queues, **options)
        return command

    def start(self, **options: Any) -> Command:
        """Store a command and claim it."""
        command_id = self.add(**options)
        (command,) = [claimed for claimed in self.claim(options.get("queue", QUEUE)) if claimed.id == command_id]
        return command

    def settle(self, command: Command, outcome: Outcome, *, randomness: float = 0.5) -> bool:
        """Decide what an outcome leads to and store it; say whether the attempt still held its lease."""
        return self.write(decide(command, outcome, randomness))

    def write(self, *settlements: Settlement) -> bool:
        """Store settlements; say whether all of them still held their leases."""
        return not self.end(*settlements).lost

    def end(self, *settlements: Settlement) -> Settled:
        """Store settlements; return what came of them."""
        return self.database.transact(lambda connection: commands.settle(connection, settlements, now=self.now))

    def note(self, command: Command, progress: Any = None, *compensations: Compensation) -> bool:
        """Store what an attempt tells of itself; say whether it still held its lease."""
        noted = self.database.transact(
            lambda connection: commands.note(connection, [(command, progress, compensations)], now=self.now)
        )
        return noted == {commands.fence(command)}

    def cancel(self, *ids: UUID, reason: str = "by hand") -> tuple[list[Command], list[str]]:
        """Cancel live commands; return them, and the queues in which others became ready."""
        return self.database.transact(lambda connection: commands.cancel(connection, ids, reason, now=self.now))

    def heartbeat(self, *held: Command, lease: timedelta = LEASE) -> bool:
        """Extend leases; say whether all were still held."""
        extended = self.database.transact(
            lambda connection: commands.heartbeat(connection, held, lease=lease, now=self.now)
        )
        return extended == {commands.fence(command) for command in held}

    def rescue(self, *, limit: int = 100) -> list[str]:
        """Take back leases that ran out."""
        return self.database.transact(lambda connection: commands.rescue(connection, limit=limit, now=self.now))

    def dispatch(self, *queues: str, limit: int = 100) -> list[str]:
        """Promote what is due."""
        return self.database.transact(
            lambda connection: commands.dispatch(connection, queues or [QUEUE], limit=limit, now=self.now)
        )

    def next_due(self, *queues: str) -> timedelta | None:
        """Return how long until something becomes ready by itself."""
        with self.database.autocommit() as connection:
            return commands.next_due(connection, queues or [QUEUE], now=self.now)

    def due(self, *queues: str) -> dict[str, timedelta]:
        """Return how long from now each queue has work."""
        with self.database.autocommit() as connection:
            return commands.due_by_queue(connection, queues or [QUEUE], now=self.now)

    def prune_joins(self, *, limit: int = 100) -> int:
        """Drop what is remembered for commands that no longer wait."""
        return self.database.transact(lambda connection: joins.prune(connection, limit=limit))

    def find(self, command_id: UUID) -> Command | None:
        """Return a command, live or finished, or None."""
        with self.database.autocommit() as connection:
            return commands.get(connection, command_id)

    def get(self, command_id: UUID) -> Command:
        """Return a command that must be there."""
        command = self.find(command_id)
        assert command is not None, f"command {command_id} is in neither table"
        return command

    def rows(self) -> dict[str, list[Any]]:
        """Return every column of every row of every table, to compare before and after."""
        with self.database.autocommit() as connection:
            return {table: table_rows(connection, table, order) for table, order in TABLES.items()}

    def runs(self, command_id: UUID) -> list[Command]:
        """Return every run of a command that is kept, the oldest first."""
        with self.database.autocommit() as connection:
            text = f"SELECT * FROM {schema_of(connection)}all_commands WHERE id = '{command_id}' ORDER BY run"
            return connection.select(text, make=answers.as_command)

    def clear(self) -> None:
        """Take everything out."""
        with self.database.transaction() as connection:
            for table in TABLES:
                query(connection, f"DELETE FROM {schema_of(connection)}{table}")

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return len(self.rows()[table])


def table_rows(connection: Connection, table: str, order: str) -> list[Any]:
    """Return a table's rows as the driver gives them."""
    return query(connection, f"SELECT * FROM {schema_of(connection)}{table} ORDER BY {order}")


def schema_of(connection: Connection | Database) -> str:
    """Return what stands before a table's name."""
    return "durex." if connection.dialect == "postgres" else ""


def query(connection: Connection, text: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """Run the test's own SQL on a connection of the store."""
    cursor = connection.raw.execute(text, parameters)  # type: ignore[attr-defined]
    return list(cursor.fetchall()) if cursor.description else []


_DATED_PARTITIONS = """
    SELECT inhrelid::regclass::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE relkind = 'r' AND pg_get_expr(relpartbound, inhrelid) <> 'DEFAULT'
    ORDER BY name
"""


def partitions(database: Database) -> list[str]:
    """Return the partitions of Postgres that hold finished commands of certain days."""
    with database.autocommit() as connection:
        return [row["name"] for row in query(connection, _DATED_PARTITIONS)]


def drop_partitions(database: Database) -> None:
    """Drop the partitions that were made for the days around the real now: virtual time has other days."""
    if database.dialect == "postgres":
        names = partitions(database)
        with database.autocommit() as connection:
            for name in names:
                query(connection, f"DROP TABLE {name}")
