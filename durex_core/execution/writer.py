"""The writer: every write of a running attempt, gathered and committed in groups.

Attempts end at the same time all over a process; their writes wait together and share one commit. Each caller learns
of its own: whether its lease still held, once it is durable. A lone settlement is written at once; one beside attempts
that began a moment ago waits a few milliseconds for theirs. A group that the database refuses is halved until the
refused write stands alone, so that one bad write fails its caller and not its neighbours.
"""

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, Protocol

from durex_core.clock import monotonic_seconds
from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.execution.commits import Ahead, Commits, Note, Write, Written
from durex_core.model import Command
from durex_core.rules.outcomes import Settlement
from durex_core.store import commands
from durex_core.store.database import Database

_GROUP = 1000
_LONGEST_SECONDS = 0.005
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)

_HELD = Written(held=True)
_LOST = Written(held=False)

_log = logging.getLogger(__name__)

Ended = tuple[Any, Settlement, Written | BaseException]
"""Whose settlement it is, as they said, and what came of it."""


class Reports(Protocol):
    """Who settles, and hears of it."""

    def settled(self, ended: Sequence[Ended]) -> None:
        """Hear what came of settlements, of one group."""
        ...

    def soon(self, ended: int) -> float:
        """Say for how many seconds more settlements may well come, beside so many; 0 or less: do not wait for them."""
        ...


class _Settling(Write):
    """A settlement, and whose it is."""

    __slots__ = ("ended", "owner")

    def __init__(self, settlement: Settlement, owner: Any) -> None:
        # One for every attempt: what `super` would do takes as long again.
        self.command = settlement.command
        self.settlement = self.ended = settlement
        self.note = None
        self.owner = owner


class _Telling(Write):
    """What an attempt tells, and where it waits for the answer."""

    __slots__ = ("written",)

    def __init__(self, command: Command, note: Note | None) -> None:
        super().__init__(command, note=note)
        self.written: Future[Written] = Future()


class Writer:
    """A thread that commits what has gathered since its last commit."""

    def __init__(self, database: Database, *, lease: timedelta, ahead: Ahead | None = None) -> None:
        """Write to a database; extended leases last for `lease`, and `ahead` hears of what will be ready."""
        self._commits = Commits(database, lease=lease, ahead=ahead)
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._reports: Reports | None = None
        self._thread = threading.Thread(target=self._run, name="durex-writer", daemon=True)
        self._thread.start()

    def report_to(self, reports: Reports) -> None:
        """Tell somebody what comes of settlements."""
        self._reports = reports

    def settle(self, settlement: Settlement, owner: Any) -> None:
        """Store how an attempt ended; whoever is reported to hears what came of it, and the owner's name."""
        self._queue.put(_Settling(settlement, owner))

    def note(self, command: Command, note: Note) -> Future[Written]:
        """Store what a running attempt tells of itself, in place of what it told before."""
        return self._tell(command, note)

    def extend(self, command: Command) -> Future[Written]:
        """Extend the lease of a running attempt."""
        return self._tell(command, None)

    def close(self) -> None:
        """Write what is left and stop."""
        self._queue.put(None)
        self._thread.join()

    def _tell(self, command: Command, note: Note | None) -> Future[Written]:
        telling = _Telling(command, note)
        self._queue.put(telling)
        return telling.written

    def _run(self) -> None:
        closing = False
        while not closing:
            group, closing = self._gather()
            if group:
                self._write(group)

    def _gather(self) -> tuple[list[Write], bool]:
        """Return what there is to write now, and whether nothing is to follow."""
        group: list[Write] = []
        is_patient = True
        write = self._queue.get()
        patient_until_seconds = monotonic_seconds() + _LONGEST_SECONDS
        while write is not None:
            group.append(write)
            if len(group) == _GROUP:
                return group, False
            # Who tells something of itself waits for the answer.
            is_patient = is_patient and write.settlement is not None
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                seconds = min(self._soon(len(group)), patient_until_seconds - monotonic_seconds())
                if not is_patient or seconds <= 0:
                    return group, False
                try:
                    write = self._queue.get(timeout=seconds)
                except queue.Empty:
                    return group, False
        return group, True

    def _soon(self, gathered: int) -> float:
        """Return for how many seconds to wait for more."""
        return 0.0 if self._reports is None else self._reports.soon(gathered)

    def _write(self, group: Sequence[Write]) -> None:
        try:
            settled = self._commit_patiently(group)
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers, the thread goes on
            self._divide(group, error)
        else:
            self._answer(group, [self._came_of(write, settled) for write in group])

    def _came_of(self, write: Write, settled: commands.Settled) -> Written:
        is_held = not settled.lost or commands.fence(write.command) not in settled.lost
        # Whoever ends a part of a join wakes for all joins of the group: which was the last is not told.
        if write.settlement and write.command.join_id and settled.woken:
            return Written(is_held, tuple(settled.woken))
        return _HELD if is_held else _LOST

    def _answer(self, group: Sequence[Write], written: Sequence[Written | Exception]) -> None:
        """Tell everybody what came of their writes."""
        ended: list[Ended] = []
        for write, answer in zip(group, written, strict=True):
            if isinstance(write, _Settling):
                ended.append((write.owner, write.ended, answer))
            elif isinstance(write, _Telling) and isinstance(answer, Written):
                write.written.set_result(answer)
            elif isinstance(write, _Telling) and isinstance(answer, Exception):
                write.written.set_exception(answer)
        if ended and self._reports is not None:
            self._report(self._reports, ended)

    def _report(self, reports: Reports, ended: Sequence[Ended]) -> None:
        try:
            reports.settled(ended)
        except Exception:  # noqa: BLE001  the thread goes on: others wait for it
            _log.exception("what came of %s settlements could not be told", len(ended))

    def _divide(self, group: Sequence[Write], error: Exception) -> None:
        if len(group) == 1 or isinstance(error, DatabaseUnavailable):
            self._answer(group, [error] * len(group))
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
