"""What a group of writes does in the database, and who is to hear of it before it is done."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from durex_core.clock import monotonic_seconds
from durex_core.errors import DatabaseError
from durex_core.model import Command, Compensation
from durex_core.records import record
from durex_core.rules.outcomes import Settlement
from durex_core.rules.wakes import Due, due_by_queue
from durex_core.store import commands
from durex_core.store.commands import Fence
from durex_core.store.database import Connection, Database

T = TypeVar("T")

_NOW = timedelta(0)

Ahead = Callable[[Mapping[str, Due]], object]
"""Sees to it, before a commit, that queues are looked at when their work is due."""


_LONG_SECONDS = 10.0


def announced(ahead: Callable[[], object], commit: Callable[[], T], clock: Callable[[], float]) -> T:
    """Commit what is told ahead of, and tell it again if that took so long that what was on its way may have come.

    An error of the second time is left alone: the commit stands.
    """
    began = clock()
    ahead()
    result = commit()
    if clock() - began > _LONG_SECONDS:
        with suppress(DatabaseError):
            ahead()
    return result


@record
class Note:
    """All that an attempt has told of itself so far."""

    progress: Any = None
    compensations: tuple[Compensation, ...] = ()


@record
class Written:
    """What came of a write: whether its lease still held, and the queues in which other commands became ready."""

    held: bool
    woken: tuple[str, ...] = ()


@dataclass(slots=True)
class Write:
    """A settlement, a note, or (without either) the extension of a lease."""

    command: Command
    settlement: Settlement | None = None
    note: Note | None = None


class Commits:
    """Commits groups of writes."""

    def __init__(
        self,
        database: Database,
        *,
        lease: timedelta,
        ahead: Ahead | None = None,
        clock: Callable[[], float] = monotonic_seconds,
    ) -> None:
        """Write to a database; extended leases last for `lease`, and `ahead` hears of what will be ready."""
        self._database = database
        self._lease = lease
        self._ahead = ahead
        self._clock = clock

    def commit(self, group: Sequence[Write]) -> commands.Settled:
        """Write all of a group or none; say whose lease held."""
        settlements = [write.settlement for write in group if write.settlement]
        work = [work for settlement in settlements for work in settlement.work] if self._ahead else []
        return announced(lambda: self._tell_ahead(work), lambda: self._write(group, settlements), self._clock)

    def _write(self, group: Sequence[Write], settlements: Sequence[Settlement]) -> commands.Settled:
        if len(settlements) == len(group) and commands.is_one_statement(settlements):
            with self._database.autocommit() as connection:
                return commands.settle(connection, settlements)
        with self._database.transaction() as connection:
            lost = self._tell(connection, group)
            settled = commands.settle(connection, settlements)
            # Whom the last of many parts makes ready is known here and not before.
            self._tell_ahead((queue, _NOW) for queue in settled.woken)
            return commands.Settled(lost | settled.lost, settled.woken)

    def _tell_ahead(self, work: Iterable[tuple[str, timedelta]]) -> None:
        due = due_by_queue(work)
        if due and self._ahead is not None:
            self._ahead(due)

    def _tell(self, connection: Connection, group: Sequence[Write]) -> set[Fence]:
        """Write what attempts say before they end; return the fences that did not hold."""
        # Of several notes of one attempt the last says it all.
        notes = {commands.fence(write.command): (write.command, write.note) for write in group if write.note}
        extended = [write.command for write in group if write.settlement is None and write.note is None]
        held: set[Fence] = set()
        if notes:
            told = [(command, note.progress, note.compensations) for command, note in notes.values()]
            held |= commands.note(connection, told)
        if extended:
            held |= commands.heartbeat(connection, extended, lease=self._lease)
        return (notes.keys() | {commands.fence(command) for command in extended}) - held
