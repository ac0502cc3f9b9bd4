"""The writer: every write of a running attempt, gathered and committed in groups.

Attempts end at the same time all over a process; their writes wait together and share one commit. Each caller learns
of its own: True once it is durable, False if its lease was lost. A group that the database refuses is halved until the
refused write stands alone, so that one bad write fails its caller and not its neighbours.
"""

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.model import Command
from durex_core.rules.lifecycle import Settlement
from durex_core.store import commands
from durex_core.store.database import Connection, Database

_GROUP = 500
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Write:
    """A settlement, or (without one) the extension of a lease."""

    command: Command
    settlement: Settlement | None
    held: Future[bool] = field(default_factory=Future)


class Writer:
    """A thread that commits what has gathered since its last commit."""

    def __init__(self, database: Database, *, lease: timedelta) -> None:
        """Write to a database; extended leases last for `lease`."""
        self._database = database
        self._lease = lease
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="durex-writer", daemon=True)
        self._thread.start()

    def settle(self, settlement: Settlement) -> Future[bool]:
        """Store how an attempt ended."""
        return self._put(_Write(settlement.command, settlement))

    def extend(self, command: Command) -> Future[bool]:
        """Extend the lease of a running attempt."""
        return self._put(_Write(command, None))

    def close(self) -> None:
        """Write what is left and stop."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, write: _Write) -> Future[bool]:
        self._queue.put(write)
        return write.held

    def _run(self) -> None:
        closing = False
        while not closing:
            group, closing = self._gather()
            if group:
                self._write(_current(group))

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
            held = self._commit_patiently(group)
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers, the thread goes on
            self._divide(group, error)
        else:
            for write in group:
                write.held.set_result(write.command.id in held)

    def _divide(self, group: Sequence[_Write], error: Exception) -> None:
        if len(group) == 1 or isinstance(error, DatabaseUnavailable):
            for write in group:
                write.held.set_exception(error)
            return
        middle = len(group) // 2
        self._write(group[:middle])
        self._write(group[middle:])

    def _commit_patiently(self, group: Sequence[_Write]) -> set[UUID]:
        """Commit, and wait out a database that is away for a moment; the fence makes the repetition harmless."""
        for pause in _PAUSES_SECONDS:
            try:
                return self._commit(group)
            except (DatabaseUnavailable, DatabaseBusy) as error:
                _log.warning("the writer waits %s s for the database: %s", pause, error)
                threading.Event().wait(pause)
        return self._commit(group)

    def _commit(self, group: Sequence[_Write]) -> set[UUID]:
        settlements = [write.settlement for write in group if write.settlement]
        extended = [write.command for write in group if write.settlement is None]
        if settlements and not extended and commands.is_one_statement(settlements):
            with self._database.autocommit() as connection:
                return commands.settle(connection, settlements)
        with self._database.transaction() as connection:
            return self._store(connection, settlements, extended)

    def _store(
        self, connection: Connection, settlements: Sequence[Settlement], extended: Sequence[Command]
    ) -> set[UUID]:
        held = commands.heartbeat(connection, extended, lease=self._lease) if extended else set()
        return held | commands.settle(connection, settlements) if settlements else held


def _current(group: list[_Write]) -> list[_Write]:
    """Drop the writes of attempts that a later attempt in the group has succeeded: the store answers by command.

    A process may lose a lease and claim the same command anew while the old attempt still runs.
    """
    newest: dict[UUID, int] = {}
    for write in group:
        newest[write.command.id] = max(write.command.lease_number, newest.get(write.command.id, 0))
    if len(newest) == len(group):
        return group
    for write in group:
        if write.command.lease_number < newest[write.command.id]:
            write.held.set_result(False)
    return [write for write in group if not write.held.done()]
