"""The writer: every write of a running attempt, gathered and committed in groups.

Attempts end at the same time all over a process; their writes wait together and share one commit. Each caller learns
of its own: whether its lease still held, once it is durable. A group that the database refuses is halved until the
refused write stands alone, so that one bad write fails its caller and not its neighbours.
"""

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.model import Command, Compensation
from durex_core.rules.outcomes import Settlement
from durex_core.store import commands
from durex_core.store.commands import Fence
from durex_core.store.database import Connection, Database

_GROUP = 500
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """All that an attempt has told of itself so far."""

    progress: Any = None
    compensations: tuple[Compensation, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a write: whether its lease still held, and the queues in which other commands became ready."""

    held: bool
    woken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Write:
    """A settlement, a note, or (without either) the extension of a lease."""

    command: Command
    settlement: Settlement | None = None
    note: Note | None = None
    written: Future[Written] = field(default_factory=Future)


class Writer:
    """A thread that commits what has gathered since its last commit."""

    def __init__(self, database: Database, *, lease: timedelta) -> None:
        """Write to a database; extended leases last for `lease`."""
        self._database = database
        self._lease = lease
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="durex-writer", daemon=True)
        self._thread.start()

    def settle(self, settlement: Settlement) -> Future[Written]:
        """Store how an attempt ended."""
        return self._put(_Write(settlement.command, settlement=settlement))

    def note(self, command: Command, note: Note) -> Future[Written]:
        """Store what a running attempt tells of itself, in place of what it told before."""
        return self._put(_Write(command, note=note))

    def extend(self, command: Command) -> Future[Written]:
        """Extend the lease of a running attempt."""
        return self._put(_Write(command))

    def close(self) -> None:
        """Write what is left and stop."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, write: _Write) -> Future[Written]:
        self._queue.put(write)
        return write.written

    def _run(self) -> None:
        closing = False
        while not closing:
            group, closing = self._gather()
            if group:
                self._write(group)

    def _gather(self) -> tuple[list[_Write], bool]:
        group: list[_Write] = []
        write = self._queue.get()
        while write is not None:
            group.append(write)
            if len(group) == _GROUP or self._queue.empty():
                return group, False
            write = self._queue.get()
        return group, True

    def _write(self, group: Sequence[_Write]) -> None:
        try:
            settled = self._commit_patiently(group)
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers, the thread goes on
            self._divide(group, error)
        else:
            for write in group:
                # Whoever ends a part of a join wakes for all joins of the group: which was the last is not told.
                woken = tuple(settled.woken) if write.settlement and write.command.join_id else ()
                write.written.set_result(Written(commands.fence(write.command) in settled.held, woken))

    def _divide(self, group: Sequence[_Write], error: Exception) -> None:
        if len(group) == 1 or isinstance(error, DatabaseUnavailable):
            for write in group:
                write.written.set_exception(error)
            return
        middle = len(group) // 2
        self._write(group[:middle])
        self._write(group[middle:])

    def _commit_patiently(self, group: Sequence[_Write]) -> commands.Settled:
        """Commit, and wait out a database that is away for a moment; the fence makes the repetition harmless."""
        for pause in _PAUSES_SECONDS:
            try:
                return self._commit(group)
            except (DatabaseUnavailable, DatabaseBusy) as error:
                _log.warning("the writer waits %s s for the database: %s", pause, error)
                threading.Event().wait(pause)
        return self._commit(group)

    def _commit(self, group: Sequence[_Write]) -> commands.Settled:
        settlements = [write.settlement for write in group if write.settlement]
        if len(settlements) == len(group) and commands.is_one_statement(settlements):
            with self._database.autocommit() as connection:
                return commands.settle(connection, settlements)
        with self._database.transaction() as connection:
            told = self._tell(connection, group)
            settled = commands.settle(connection, settlements)
            return commands.Settled(told | settled.held, settled.woken)

    def _tell(self, connection: Connection, group: Sequence[_Write]) -> set[Fence]:
        """Write what attempts say before they end."""
        # Of several notes of one attempt the last says it all.
        notes = {commands.fence(write.command): (write.command, write.note) for write in group if write.note}
        extended = [write.command for write in group if write.settlement is None and write.note is None]
        held: set[Fence] = set()
        if notes:
            told = [(command, note.progress, note.compensations) for command, note in notes.values()]
            held |= commands.note(connection, told)
        if extended:
            held |= commands.heartbeat(connection, extended, lease=self._lease)
        return held
