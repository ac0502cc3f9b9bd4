"""Simulated processes: plain sequential code that can be delayed, frozen and killed at each of its calls.

Each runs in a thread of its own, and only one of them at a time: whoever calls the outside hands control back to the
simulation, which decides who goes on. So a run is the same whenever it is repeated.
"""

import os
import threading
from collections.abc import Callable
from functools import partial

from durex_core.records import record
from durex_core.testing.cloud.lives import Killed, Life, Process, Stopped
from durex_core.testing.cloud.timeline import Action, Timeline

Code = Callable[[], object]


class _Thread:
    """A thread that runs processes, one after the other, when it is given the turn."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.work: Callable[[], None] | None = None
        threading.Thread(target=self._run, name="durex-simulated", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.turn.acquire()
            work, self.work = self.work, None
            if work is not None:
                work()


# Threads are dear; they serve one simulation after the other. A forked child has none of its parent's.
_idle: list[_Thread] = []
if hasattr(os, "register_at_fork"):  # Windows never forks
    os.register_at_fork(after_in_child=_idle.clear)


class Processes:
    """All processes of a simulation, of which at most one runs at a time.

    Whoever has the turn also does what else the line of time holds, until it is another's turn: so threads change only
    where processes really take turns.

    Attributes:
        here: the process that runs, or None: then it is the simulation itself, or the test.
        living: all that have begun and not ended.
        on_end: called when one has ended.
    """

    def __init__(self, timeline: Timeline) -> None:
        """Run them along a line of time."""
        self.on_end: Callable[[], None] = lambda: None
        self.here: Process | None = None
        self.living: list[Process] = []
        self._timeline = timeline
        self._horizon = 0.0
        self._is_over: Callable[[], bool] = lambda: True
        self._error: BaseException | None = None
        self._root = threading.Lock()
        self._root.acquire()

    def run(self, horizon: float, is_over: Callable[[], bool]) -> None:
        """Do what the line of time holds, until a time, or until it is over."""
        self._horizon, self._is_over = horizon, is_over
        self._go_on(self._root)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def start(self, process: Process, code: Code) -> None:
        """Begin a process now, or when the one that runs has given back its turn."""
        self._timeline.at(self._timeline.seconds, _Start(process, code))

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass for the process that runs, or until it is roused; others go on meanwhile.

        Raises:
            Killed: it was killed, or its deadline came.
            Stopped: it was to stop before.
        """
        process = self.here
        if process is None:
            return
        process.check()
        life, until = process.life, self._timeline.seconds + seconds
        if process.stops_at is not None and until > process.stops_at:
            until = max(process.stops_at, self._timeline.seconds)
        self._wait_until(process, until if life.deadline is None else min(until, life.deadline))
        self._thaw(process)
        if life.deadline is not None and self._timeline.seconds >= life.deadline:
            self.kill(life)
        process.check()
        if process.stops_at is not None and self._timeline.seconds >= process.stops_at:
            process.stops_at = None
            raise Stopped

    def rouse(self, process: Process) -> None:
        """Let a process that sleeps go on now."""
        if process is not self.here and process.turn is not None:
            self._timeline.at(self._timeline.seconds, _Resume(process, process.ticket))

    def freeze(self, seconds: float) -> None:
        """Let the process that runs and those that share its life stand still, whatever their deadline is.

        They go on as some whom nobody expects any more.
        """
        process = self.here
        assert process is not None
        process.life.deadline = None
        process.life.thaws_at = self._timeline.seconds + seconds
        self._thaw(process)
        process.check()

    def kill(self, life: Life) -> None:
        """Kill the processes that share a life."""
        life.is_dead = True
        for process in self.living:
            if process.life is life:
                self.rouse(process)

    def close(self) -> None:
        """Kill those that still wait, so that their threads can serve others."""
        self._is_over = lambda: True
        for process in tuple(self.living):
            process.life.is_dead = True
            assert process.turn is not None
            process.turn.release()
            self._root.acquire()

    def _thaw(self, process: Process) -> None:
        while process.life.thaws_at > self._timeline.seconds and not process.life.is_dead:
            self._wait_until(process, process.life.thaws_at)

    def _wait_until(self, process: Process, seconds: float) -> None:
        next_at = self._timeline.next_at
        if seconds <= self._horizon and (next_at is None or next_at > seconds):
            self._timeline.pass_until(seconds)  # nobody else has anything to do before
            return
        assert process.turn is not None
        self._timeline.at(seconds, _Resume(process, process.ticket))
        self.here = None
        self._go_on(process.turn)
        process.ticket += 1
        self.here = process

    def _go_on(self, mine: threading.Lock) -> None:
        """Do what is next until it is my turn, and let others have theirs."""
        while True:
            action = self._next()
            match action:
                case None if mine is self._root:
                    return None
                case None:
                    return self._hand_to(self._root, mine)
                case _Resume(process) if process.turn is mine:
                    return None
                case _Resume(process):
                    assert process.turn is not None
                    return self._hand_to(process.turn, mine)
                case _Start():
                    thread = _idle.pop() if _idle else _Thread()
                    thread.work = partial(self._serve, thread, action)
                    return self._hand_to(thread.turn, mine)
                case _:
                    self._do(action)

    def _serve(self, thread: _Thread, start: "_Start") -> None:
        """Run a process, and whichever begins next while nothing waits in this thread."""
        action: Action | None = start
        while True:
            match action:
                case None:
                    return self._leave(thread, self._root)
                case _Resume(process):
                    assert process.turn is not None
                    return self._leave(thread, process.turn)
                case _Start(process, code):
                    self._live(process, code, thread.turn)
                case _:
                    self._do(action)
            action = self._next()

    def _live(self, process: Process, code: Code, turn: threading.Lock) -> None:
        """Run the whole life of a process."""
        process.turn = turn
        self.living.append(process)
        self.here = process
        try:
            code()
        except Killed:
            process.life.is_dead = True
        except Exception as error:  # noqa: BLE001  whoever started it decides what it means
            process.error = error
        self.here = None
        process.turn = None
        self.living.remove(process)
        if process.on_end is not None:
            self._do(partial(process.on_end, process))
        self._do(self.on_end)

    def _next(self) -> Action | None:
        """Take the next entry off the line of time; None: it is over."""
        try:
            if self._error is not None or self._is_over():
                return None
        except BaseException as error:  # noqa: BLE001  it is raised where the simulation was run
            self._error = error
            return None
        while True:
            action = self._timeline.take(self._horizon)
            if not isinstance(action, _Resume) or action.ticket == action.process.ticket:
                return action

    def _do(self, action: Action) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001  it is raised where the simulation was run
            self._error = error

    def _hand_to(self, other: threading.Lock, mine: threading.Lock) -> None:
        other.release()
        mine.acquire()

    def _leave(self, thread: _Thread, other: threading.Lock) -> None:
        _idle.append(thread)
        other.release()


@record
class _Start:
    """The entry at which a process begins."""

    process: Process
    code: Code

    def __call__(self) -> None:
        raise AssertionError("a process begins in a thread of its own")


@record
class _Resume:
    """The entry at which a process goes on, unless it went on before."""

    process: Process
    ticket: int

    def __call__(self) -> None:
        raise AssertionError("a process goes on in its own thread")
