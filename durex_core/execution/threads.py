"""Threads for handlers that are plain functions.

A thread takes one task after the other. Another one joins in only when nothing was taken for a moment: a second thread
helps those that wait for something, and threads that compute take turns at one interpreter anyway, and keep it from
whoever claims and settles for them.

A handler that outlives its timeout cannot be stopped: its thread is given up and replaced, and ends when the handler
returns. Threads are daemons, so that a stuck handler cannot keep a stopped process alive.
"""

import queue
import threading
from abc import abstractmethod
from collections import deque
from typing import Literal

from durex_core.clock import monotonic_seconds
from durex_core.execution.watch import Watch

_LOOK_SECONDS = 0.001
_LATE_SECONDS = 0.002


class Task:
    """A piece of work in a thread."""

    __slots__ = ("is_over", "is_taken")

    def __init__(self) -> None:
        """Be ready to run."""
        self.is_taken = False
        self.is_over = False

    @abstractmethod
    def work(self) -> None:
        """Do it, without raising."""


class Threads:
    """At most `size` threads that run tasks, besides those given up; started when first needed."""

    def __init__(self, size: int, watch: Watch) -> None:
        """Start no thread yet; the watch looks after tasks that nobody takes."""
        self._size = size
        self._watch = watch
        self._tasks: deque[Task] = deque()
        self._calls: queue.SimpleQueue[Literal["begin", "end"]] = queue.SimpleQueue()
        self._lock = threading.Lock()
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

    def run(self, task: Task) -> None:
        """Do a task as soon as a thread is free."""
        with self._lock:
            self._tasks.append(task)
            if self._at_work == 0:
                self._call_one()
            elif self._usher is None:
                self._usher = _Usher(self, self._taken)
                self._watch.add(self._usher)

    def give_up(self, task: Task) -> None:
        """Count the task's thread no longer; it ends with its task. Does nothing if the task is over."""
        with self._lock:
            if task.is_over:
                return
            task.is_over = True
            if task.is_taken:
                self._at_work -= 1
                self._stuck += 1
                if self._tasks and self._at_work == 0:
                    self._call_one()

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
            if not self._tasks:
                return
            # Who is called late competes for the interpreter, as the threads do that are there.
            if self._taken == usher.taken and not usher.is_late:
                for _ in range(min(len(self._tasks), self._size - self._at_work, max(1, self._at_work))):
                    self._call_one()
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
        while True:
            task = self._take()
            if task is not None:
                task.work()
                if self._is_given_up(task):
                    return
            elif self._calls.get() == "end":
                return

    def _take(self) -> Task | None:
        """Take a task, or be idle."""
        with self._lock:
            self._taken += 1
            while self._tasks:
                task = self._tasks.popleft()
                if not task.is_over:
                    task.is_taken = True
                    return task
            self._at_work -= 1
            self._idle += 1
            if self._is_closing:
                self._calls.put("end")
            return None

    def _is_given_up(self, task: Task) -> bool:
        with self._lock:
            self._stuck -= task.is_over
            is_given_up, task.is_over = task.is_over, True
            return is_given_up


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
