"""How a simulated worker settles attempts: groups share a commit, and the invocation waits for their ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable
from durex_core.execution.commits import Commits, Write, Written
from durex_core.rules.outcomes import Settlement
from durex_core.serverless.ledger import Ledger
from durex_core.store import commands
from durex_core.testing.cloud.lives import Process
from durex_core.testing.cloud.world import World

_PAUSES_SECONDS = (0.05, 0.2, 1.0, 2.0, 2.0, None)
_LONG_SECONDS = 1e6


class SimulatedLedger(Ledger):
    """The ledger of an invocation, which waits for news in virtual time."""

    def __init__(self, world: World) -> None:
        """Start empty."""
        super().__init__()
        self._world = world
        self._reader: Process | None = None

    def settled(self, settled: Sequence[tuple[Settlement, Written]]) -> None:
        """Take note of settlements, and tell whoever waits for news."""
        super().settled(settled)
        if self._reader is not None:
            self._world.processes.rouse(self._reader)

    def news(self, timeout_seconds: float, down_to: int = 0) -> tuple[dict[str, int], bool]:
        """Wait for news, at most for the timeout."""
        until = self._world.timeline.seconds + timeout_seconds
        self._reader = self._world.processes.here
        while self._open > down_to and not self._ready and self._world.timeline.seconds < until:
            self._world.processes.sleep(until - self._world.timeline.seconds)
        self._reader = None
        return super().news(0, down_to)


@dataclass(slots=True)
class _Asked:
    """A settlement that is to be written, and what came of it."""

    write: Write
    process: Process
    answer: Written | DatabaseError | None = field(default=None)


class SimulatedWriter:
    """Commits what has gathered since the last commit: whoever comes first does it for all."""

    def __init__(self, world: World, commits: Commits) -> None:
        """Write for the attempts of one execution environment."""
        self._world = world
        self._commits = commits
        self._gathered: list[_Asked] = []
        self._is_writing = False

    def settle(self, settlement: Settlement) -> Written | DatabaseError:
        """Store how an attempt ended; wait out a database that is away for a moment."""
        process = self._world.processes.here
        assert process is not None
        asked = _Asked(Write(settlement.command, settlement=settlement), process)
        self._gathered.append(asked)
        while asked.answer is None:
            if self._is_writing:
                self._world.processes.sleep(_LONG_SECONDS)
            else:
                self._write()
        return asked.answer

    def _write(self) -> None:
        self._is_writing = True
        group, self._gathered = self._gathered, []
        try:
            self._answer(group)
        finally:
            self._is_writing = False
        for asked in (*group, *self._gathered[:1]):
            self._world.processes.rouse(asked.process)

    def _answer(self, group: list[_Asked]) -> None:
        """Write a group, or each of it by itself if the database refuses it."""
        try:
            settled = self._commit([asked.write for asked in group])
        except DatabaseError as error:
            if len(group) == 1 or isinstance(error, DatabaseUnavailable):
                for asked in group:
                    asked.answer = Written(held=False) if isinstance(error, DatabaseUnavailable) else error
                return
            for asked in group:
                self._answer([asked])
            return
        for asked in group:
            woken = tuple(settled.woken) if asked.write.command.join_id else ()
            asked.answer = Written(commands.fence(asked.write.command) not in settled.lost, woken)

    def _commit(self, writes: list[Write]) -> commands.Settled:
        for pause in _PAUSES_SECONDS:
            try:
                return self._commits.commit(writes)
            except (DatabaseUnavailable, DatabaseBusy):
                if pause is None:
                    raise
                self._world.processes.sleep(pause)
        raise AssertionError("the last pause is none")
