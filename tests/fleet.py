"""Workers in processes of their own, to be killed; and the account that must balance when all is over."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import chaos_app
from staging import wait_until

from durex_core.model import CRASHED, VANISHED, Command, State


@dataclass(frozen=True)
class Line:
    """What a handler wrote as it began or ended."""

    what: str
    id: UUID
    attempt: int
    lease_number: int


class Fleet:
    """Worker processes on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        """Start none yet."""
        self._gate = folder / "gate"
        self._log = folder / "runs.log"
        self._url = url
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def alive(self) -> list[subprocess.Popen[bytes]]:
        """The processes that run."""
        return [process for process in self._processes if process.poll() is None]

    def start(self, *, lease_seconds: float, grace_seconds: float = 5) -> subprocess.Popen[bytes]:
        """Start a worker."""
        script, log, gate = chaos_app.__file__, str(self._log), str(self._gate)
        arguments = [script, self._url, log, gate, str(lease_seconds), str(grace_seconds)]
        self._processes.append(subprocess.Popen([sys.executable, *arguments]))
        return self._processes[-1]

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask a worker to stop, once it is able to hear it, and see it end well."""
        wait_until(Path(f"{self._log}.{process.pid}").exists, 60)
        process.terminate()
        assert process.wait(30) == 0

    def open_gate(self, attempt: int) -> None:
        """Let gated commands end in this attempt."""
        chaos_app.gate_of(self._gate, attempt).touch()

    def keep_alive(self, count: int, *, lease_seconds: float, until: Callable[[], bool]) -> None:
        """Start workers anew when they die, until something is so."""

        def look() -> bool:
            for _ in range(count - len(self.alive)):
                self.start(lease_seconds=lease_seconds)
            return until()

        wait_until(look, 60)

    def lines(self) -> list[Line]:
        """Return what the handlers wrote, in order."""
        text = self._log.read_text() if self._log.exists() else ""
        return [
            Line(what, UUID(command_id), int(attempt), int(lease_number))
            for what, command_id, attempt, lease_number in (line.split() for line in text.splitlines())
        ]

    def wait_for(self, what: str, command_id: UUID, *, attempt: int = 1) -> None:
        """Wait until a handler wrote such a line."""
        wait_until(
            lambda: (what, command_id, attempt) in {(line.what, line.id, line.attempt) for line in self.lines()}, 30
        )

    def kill_all(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            process.kill()
            process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and see it gone."""
    process.kill()
    assert process.wait(10) == -signal.SIGKILL


@dataclass(frozen=True)
class Account:
    """What is in the database and the log when all is over."""

    finished: list[Command]
    lines: list[Line]

    def check(self, enqueued: dict[UUID, str]) -> None:
        """See that every command ended once, as it should, and that its history tells of every attempt."""
        self._check_rows(enqueued)
        self._check_children()
        self._check_joins()
        self._check_sagas()
        for command in self.finished:
            try:
                self._check_ending(command)
                self._check_history(command)
            except AssertionError as error:
                error.add_note(self._story(command))
                raise
        runs = Counter((line.id, line.lease_number) for line in self.lines if line.what == "begin")
        assert max(runs.values()) == 1, "a handler ran twice under one lease"

    def without(self, command_id: UUID) -> "Account":
        """Return the account of all other commands."""
        return Account(
            [command for command in self.finished if command.id != command_id],
            [line for line in self.lines if line.id != command_id],
        )

    def of(self, name: str) -> list[Command]:
        """Return the finished commands of a name."""
        return [command for command in self.finished if command.name == name]

    def _story(self, command: Command) -> str:
        past = [(past.outcome, past.attempt, past.lease_number) for past in command.history]
        lines = [(line.what, line.attempt, line.lease_number) for line in self.lines if line.id == command.id]
        now = (command.name, command.state.value, command.attempt, command.lease_number, command.result, command.error)
        return f"the command: {now}\nits history: {past}\nits lines: {lines}"

    def _check_rows(self, enqueued: dict[UUID, str]) -> None:
        rows = Counter(command.id for command in self.finished)
        assert max(rows.values()) == 1, "a command has two finished rows"
        assert {command.id: command.name for command in self.finished if command.parent_id is None} == enqueued

    def _check_children(self) -> None:
        children = Counter(command.parent_id for command in self.finished if command.parent_id)
        expected = {command.id: chaos_app.CHILDREN.get(command.name, 0) for command in self.finished}
        wrong = {parent: count for parent, count in expected.items() if children[parent] != count}
        assert not wrong, f"parents with another number of children than these: {wrong}"

    def _check_joins(self) -> None:
        """See that what waited for others ran once, after the last of them, and read how they ended."""
        for then in self.of("joined"):
            assert then.parent_id is not None
            parts = [part for part in self._children(then.parent_id) if part.id != then.id]
            told = sorted((child.id, child.state, str(child.result)) for child in then.children)
            assert told == sorted((part.id, part.state, str(part.result)) for part in parts)
            assert [child.position for child in then.children] == list(range(len(parts)))
            for part in parts:
                self._check_order(part, then)
        joins = {command.id for command in self.finished if command.name in {"join", "gated_join"}}
        assert Counter(then.parent_id for then in self.of("joined")) == Counter(joins)

    def _check_sagas(self) -> None:
        """See that the steps were undone one after another, and that the hook had its wish once."""
        for saga in [*self.of("saga"), *self.of("gated_saga")]:
            children = self._children(saga.id)
            assert sorted(child.name for child in children) == ["plain", "undo", "undo"]
            first, second = (child for child in children if child.name == "undo")
            self._check_order(first, second)

    def _check_order(self, earlier: Command, later: Command) -> None:
        """See that the attempt which ended one command had written its last line before another one's first began.

        By their lines, which stand in order: a statement tells the time at which it arrived, and sees what was
        committed until it began.
        """
        begins = [place for place, line in enumerate(self.lines) if (line.what, line.id) == ("begin", later.id)]
        ended = ("end", earlier.id, earlier.lease_number)
        ends = [place for place, line in enumerate(self.lines) if (line.what, line.id, line.lease_number) == ended]
        assert ends or earlier.state is not State.COMPLETED
        assert all(place < min(begins) for place in ends)

    def _children(self, command_id: UUID) -> list[Command]:
        """Return the children of a command as they ended."""
        children = [command for command in self.finished if command.parent_id == command_id]
        return sorted(children, key=lambda child: str(child.finished_at))

    def _check_ending(self, command: Command) -> None:
        assert command.attempt <= command.retries + 1
        if command.name == "hopeless":
            assert (command.state, command.attempt) == (State.DEAD_LETTER, 3)
            assert command.error is not None
            assert command.error.type in {"ValueError", "Crashed"}
            return
        if command.name in {"saga", "gated_saga"}:
            assert (command.state, command.error and command.error.type) == (State.DEAD_LETTER, "NonRetryable")
            assert (command.recovery and command.recovery.enqueued) == 1
            return
        assert (command.state, command.error) == (State.COMPLETED, None)
        # Written by the attempt that held the last lease, and by none before.
        assert command.result == {"lease_number": command.lease_number}
        ends = [line.lease_number for line in self.lines if line.what == "end" and line.id == command.id]
        assert command.lease_number in ends

    def _check_history(self, command: Command) -> None:
        leases = [past.lease_number for past in command.history]
        assert leases == sorted(set(leases))
        assert all(lease < command.lease_number for lease in leases)
        assert len(command.history) < 50, "so long a history is cut, and tells nothing"
        began = {line.lease_number for line in self.lines if line.what == "begin" and line.id == command.id}
        assert began <= {*leases, command.lease_number}, "an attempt began and left no trace"
        counted = [past.attempt for past in command.history if past.outcome not in {"released", VANISHED}]
        assert sorted(set(counted)) == list(range(1, command.attempt + command.is_overdrawn))
        outcomes = Counter(past.outcome for past in command.history)
        assert outcomes.keys() <= {CRASHED, VANISHED, "failed", "released"}
        assert outcomes[VANISHED] <= 1
