"""Threads for handlers that are plain functions.

A handler that outlives its timeout cannot be stopped: its thread is given up and replaced, and ends when the handler
returns. Threads are daemons, so that a stuck handler cannot keep a stopped process alive.
"""

import queue
import threading
from collections.abc import Callable


class Task:
    """A piece of work in a thread."""

    __slots__ = ("is_over", "work")

    def __init__(self, work: Callable[[], None]) -> None:
        """Hold a function that must not raise."""
        self.work = work
        self.is_over = False


class Threads:
    """At most `size` threads that run tasks, besides those given up; started when first needed."""

    def __init__(self, size: int) -> None:
        """Start no thread yet."""
        self._size = size
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._busy = 0
        self._stuck = 0

    @property
    def stuck(self) -> int:
        """How many threads were given up and still run their task."""
        with self._lock:
            return self._stuck

    def run(self, work: Callable[[], None]) -> Task:
        """Run a function, which must not raise, as soon as a thread is free."""
        task = Task(work)
        with self._lock:
            self._busy += 1
            if self._started < min(self._busy, self._size):
                self._started += 1
                threading.Thread(target=self._run, name="durex-handler", daemon=True).start()
        self._tasks.put(task)
        return task

    def give_up(self, task: Task) -> None:
        """Count the task's thread no longer; it ends with its task. Does nothing if the task is over."""
        with self._lock:
            if not task.is_over:
                task.is_over = True
                self._started -= 1
                self._busy -= 1
                self._stuck += 1

    def close(self) -> None:
        """Let idle threads end."""
        with self._lock:
            for _ in range(self._started):
                self._tasks.put(None)

    def _run(self) -> None:
        while task := self._tasks.get():
            task.work()
            with self._lock:
                if task.is_over:
                    self._stuck -= 1
                    return
                task.is_over = True
                self._busy -= 1
