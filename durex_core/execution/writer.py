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
from datetime import timedelta

from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.execution.commits import Ahead, Commits, Note, Write, Written
from durex_core.model import Command
from durex_core.rules.outcomes import Settlement
from durex_core.store import commands
from durex_core.store.database import Database

_GROUP = 500
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)

_log = logging.getLogger(__name__)


class Writer:
    """A thread that commits what has gathered since its last commit."""

    def __init__(self, database: Database, *, lease: timedelta, ahead: Ahead | None = None) -> None:
        """Write to a database; extended leases last for `lease`, and `ahead` hears of what will be ready."""
        self._commits = Commits(database, lease=lease, ahead=ahead)
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="durex-writer", daemon=True)
        self._thread.start()

    def settle(self, settlement: Settlement) -> Future[Written]:
        """Store how an attempt ended."""
        return self._put(Write(settlement.command, settlement=settlement))

    def note(self, command: Command, note: Note) -> Future[Written]:
        """Store what a running attempt tells of itself, in place of what it told before."""
        return self._put(Write(command, note=note))

    def extend(self, command: Command) -> Future[Written]:
        """Extend the lease of a running attempt."""
        return self._put(Write(command))

    def close(self) -> None:
        """Write what is left and stop."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, write: Write) -> Future[Written]:
        self._queue.put(write)
        return write.written

    def _run(self) -> None:
        closing = False
        while not closing:
            group, closing = self._gather()
            if group:
                self._write(group)

    def _gather(self) -> tuple[list[Write], bool]:
        group: list[Write] = []
        write = self._queue.get()
        while write is not None:
            group.append(write)
            if len(group) == _GROUP or self._queue.empty():
                return group, False
            write = self._queue.get()
        return group, True

    def _write(self, group: Sequence[Write]) -> None:
        try:
            settled = self._commit_patiently(group)
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers, the thread goes on
            self._divide(group, error)
        else:
            for write in group:
                # Whoever ends a part of a join wakes for all joins of the group: which was the last is not told.
                woken = tuple(settled.woken) if write.settlement and write.command.join_id else ()
                write.written.set_result(Written(commands.fence(write.command) in settled.held, woken))

    def _divide(self, group: Sequence[Write], error: Exception) -> None:
        if len(group) == 1 or isinstance(error, DatabaseUnavailable):
            for write in group:
                write.written.set_exception(error)
            return
        middle = len(group) // 2
        self._write(group[:middle])
        self._write(group[middle:])

    def _commit_patiently(self, group: Sequence[Write]) -> commands.Settled:
        """Commit, and wait out a database that is away for a moment; the fence makes the repetition harmless."""
        for pause in _PAUSES_SECONDS:
            try:
                return self._commits.commit(group)
            except (DatabaseUnavailable, DatabaseBusy) as error:
                _log.warning("the writer waits %s s for the database: %s", pause, error)
                threading.Event().wait(pause)
        return self._commits.commit(group)
