"""A database in memory for one simulation after the other, and its journal: every change of state, as it was made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from durex_core.model import RetentionPolicy
from durex_core.operations import schema
from durex_core.records import record
from durex_core.store.database import Database, open_database

if TYPE_CHECKING:
    from durex_core.store.sqlite import SqliteConnection

Tuple = tuple[Any, ...]

# Every change of a live command, and everything that happens to a finished one. `lease` is the lease number before the
# change, `lease_end` when it ran out.
_JOURNAL = (
    """CREATE TABLE journal (
        step INTEGER PRIMARY KEY, id TEXT, was TEXT, became TEXT, lease INTEGER, next_lease INTEGER, lease_end INTEGER,
        parent TEXT
    )""",
    """CREATE TRIGGER journal_new AFTER INSERT ON commands BEGIN
        INSERT INTO journal (id, became, next_lease, parent)
        VALUES (new.id, new.state, new.lease_number, new.parent_id);
    END""",
    """CREATE TRIGGER journal_change AFTER UPDATE OF state, lease_number ON commands
    WHEN old.state <> new.state OR old.lease_number <> new.lease_number BEGIN
        INSERT INTO journal (id, was, became, lease, next_lease, lease_end)
        VALUES (new.id, old.state, new.state, old.lease_number, new.lease_number, old.lease_expires_at);
    END""",
    """CREATE TRIGGER journal_end AFTER DELETE ON commands BEGIN
        INSERT INTO journal (id, was, became, lease, next_lease, lease_end)
        VALUES (
            old.id, old.state, (SELECT state FROM finished_commands WHERE id = old.id ORDER BY run DESC LIMIT 1),
            old.lease_number, old.lease_number, old.lease_expires_at
        );
    END""",
    """CREATE TRIGGER journal_rewritten AFTER UPDATE ON finished_commands BEGIN
        INSERT INTO journal (id, was, became, lease, next_lease)
        VALUES (old.id, old.state, new.state, old.lease_number, new.lease_number);
    END""",
    """CREATE TRIGGER journal_unfiled AFTER DELETE ON finished_commands BEGIN
        INSERT INTO journal (id, was, lease, next_lease)
        VALUES (old.id, old.state, old.lease_number, old.lease_number);
    END""",
)

_TABLES = ("commands", "finished_commands", "joined", "keys", "alarms", "journal")
_LEAVING = "SELECT id, lease, lease_end, became FROM journal WHERE step > ? AND was = 'started'"


@record
class Change:
    """A change of a command's state; None stands for no row.

    `lease` is the lease number that the command had before it, `next_lease` afterwards, `parent` whose child it is, if
    it is new.
    """

    id: str
    was: str | None
    became: str | None
    lease: int | None
    next_lease: int
    parent: str | None


class Storage:
    """A migrated SQLite database in memory.

    Attributes:
        database: what the store asks of it.
        connection: its one connection.
        raw: the driver's.
    """

    def __init__(self) -> None:
        """Make it."""
        self.database: Database = open_database("sqlite:///:memory:")
        schema.migrate(self.database, RetentionPolicy())
        with self.database.autocommit() as connection:
            self.connection = connection
            self.raw = cast("SqliteConnection", connection).raw
        self.raw.execute("PRAGMA synchronous = OFF")
        for statement in _JOURNAL:
            self.raw.execute(statement)

    def read(self, text: str, *parameters: Any) -> list[Tuple]:
        """Run a query as it is."""
        found: list[Tuple] = self.raw.execute(text, parameters).fetchall()
        return found

    def wipe(self) -> None:
        """Forget all commands, for the next simulation."""
        self.raw.execute("BEGIN")
        for table in _TABLES:
            self.raw.execute(f"DELETE FROM {table}")  # noqa: S608  our own names
        self.raw.execute("COMMIT")

    def journal(self) -> Sequence[Change]:
        """Return the changes of all commands, in their order."""
        return [
            Change(*row)
            for row in self.read("SELECT id, was, became, lease, next_lease, parent FROM journal ORDER BY step")
        ]

    @property
    def steps(self) -> int:
        """How many changes there were."""
        return int(self.read("SELECT coalesce(max(step), 0) FROM journal")[0][0])

    def left_started(self, since: int) -> list[Tuple]:
        """Return the claims that ended after a step: the command, its lease number, the lease's end, the next state."""
        return self.read(_LEAVING, since)
