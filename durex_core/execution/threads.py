"""Threads for handlers that are plain functions.

A thread takes one task after the other from a line. Another one joins in only when nothing was taken for a moment: a
second thread helps those that wait for something, and threads that compute take turns at one interpreter anyway, and
keep it from whoever claims and settles for them.

A handler that outlives its timeout cannot be stopped: its thread is given up and replaced, and ends when the handler
returns. Threads are daemons, so that a stuck handler cannot keep a stopped process alive.
"""

import queue
import threading
from abc import abstractmethod
from typing import Literal, Protocol

from durex_core.clock import monotonic_seconds
from durex_core.execution.watch import Watch

_LOOK_SECONDS = 0.001
_LATE_SECONDS = 0.002


class Task:
    """A piece of work in a thread."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        """Be ready to run."""
        self.is_over = False

    @abstractmethod
    def work(self) -> None:
        """Do it, without raising."""


class Line(Protocol):
    """Where tasks stand in line. It is called under the lock that it shares with the threads."""

    @property
    def ready(self) -> int:
        """How many tasks may begin now, at most."""
        ...

    def take(self) -> Task | None:
        """Hand out the next task, if it may begin now."""
        ...


class Threads:
    """At most `size` threads that work off a line, besides those given up; started when first needed."""

    def __init__(self, size: int, line: Line, lock: threading.Lock, watch: Watch) -> None:
        """Start no thread yet; the watch looks after tasks that nobody takes."""
        self._size = size
        self._line = line
        self._lock = lock
        self._watch = watch
        self._calls: queue.SimpleQueue[Literal["begin", "end"]] = queue.SimpleQueue()
        self._at_work = 0
        self._idle = 0
        self._stuck = 0
        self._taken = 0
        self._is_closing = False
        self._usher: _Usher | None = None

    @property
    def stuck(self) -> int:
        """How many threads were given up and still run their task."""
        with self._lock:
            return self._stuck

    def call(self) -> None:
        """See to it that what may begin now is taken soon; call it under the lock when there is something."""
        ready = self._line.ready
        if self._at_work == 0:
            self._call_one()
            ready -= 1
        if ready > 0 and self._usher is None:
            self._look_later()

    def give_up(self, task: Task) -> None:
        """Count the thread that took a task no longer; it ends with its task. Does nothing if the task is over."""
        with self._lock:
            if task.is_over:
                return
            task.is_over = True
            self._at_work -= 1
            self._stuck += 1

    def close(self) -> None:
        """Let threads end when they are idle."""
        with self._lock:
            self._is_closing = True
            for _ in range(self._idle):
                self._calls.put("end")

    def look(self, usher: "_Usher") -> None:
        """Call more threads if nothing was taken since the last look, twice as many each time."""
        with self._lock:
            self._usher = None
            ready = self._line.ready
            if not ready:
                return
            # Who is called late competes for the interpreter, as the threads do that are there.
            if self._taken == usher.taken and not usher.is_late:
                for _ in range(min(ready, self._size - self._at_work, max(1, self._at_work))):
                    self._call_one()
            self._look_later()

    def _look_later(self) -> None:
        self._usher = _Usher(self, self._taken)
        self._watch.add(self._usher)

    def _call_one(self) -> None:
        """Let an idle thread begin, or a new one."""
        self._at_work += 1
        if self._idle:
            self._idle -= 1
            self._calls.put("begin")
        else:
            threading.Thread(target=self._run, name="durex-handler", daemon=True).start()

    def _run(self) -> None:
        task: Task | None = None
        while True:
            with self._lock:
                if task is not None and task.is_over:
                    self._stuck -= 1
                    return
                if task is not None:
                    task.is_over = True
                task = self._line.take()
                if task is None:
                    self._rest()
                else:
                    self._taken += 1
            if task is not None:
                task.work()
            elif self._calls.get() == "end":
                return

    def _rest(self) -> None:
        """Be idle from here on."""
        self._at_work -= 1
        self._idle += 1
        if self._is_closing:
            self._calls.put("end")


class _Usher:
    """Looks, a moment later, whether tasks were taken."""

    def __init__(self, threads: Threads, taken: int) -> None:
        self.taken = taken
        self.ends_at_seconds = monotonic_seconds() + _LOOK_SECONDS
        self._threads = threads

    @property
    def is_late(self) -> bool:
        """Whether the look comes long after it was due."""
        return monotonic_seconds() - self.ends_at_seconds > _LATE_SECONDS

    def end(self) -> None:
        """Look."""
        self._threads.look(self)
