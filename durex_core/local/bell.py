"""The bell: how a worker that waits hears of work, from its own process and from others."""

import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta

from durex_core.errors import DatabaseError
from durex_core.store.database import Connection, Database

_LISTEN_SECONDS = 0.2
_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Bell:
    """Rings for the one thread that waits on it; a ring between two waits is not lost.

    It may be rung in a signal handler that interrupts the waiter, which the lock inside an Event does not allow.
    Workers that share a process wait on a bell each, tied to the application's: one must not use up another's ring.
    """

    def __init__(self) -> None:
        """Begin silent."""
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._tied: tuple[Bell, ...] = ()

    def ring(self) -> None:
        """Wake the waiter, or let its next wait return at once; and ring what is tied to this bell."""
        if self._rings.empty():
            self._rings.put(None)
        for bell in self._tied:
            bell.ring()

    def wait(self, timeout_seconds: float | None) -> None:
        """Wait for a ring, or for the timeout."""
        with suppress(queue.Empty):
            self._rings.get(timeout=timeout_seconds)

    @contextmanager
    def tied(self, bell: "Bell") -> Iterator[None]:
        """Let another bell ring with this one, during the block."""
        with self._lock:
            self._tied = (*self._tied, bell)
        try:
            yield
        finally:
            with self._lock:
                self._tied = tuple(other for other in self._tied if other is not bell)


class LocalWake:
    """Tells the worker of this process, if there is one, and those of other processes."""

    def __init__(self, database: Database, bell: Bell) -> None:
        """Ring a bell, and poke through a database."""
        self._database = database
        self._bell = bell

    def ready(self, due: Mapping[str, timedelta]) -> None:  # noqa: ARG002  one bell for all queues
        """Say that there is work; when it is due, the worker reads from the database."""
        self._bell.ring()
        self._database.poke()

    def soon(self, due: Mapping[str, timedelta], connection: Connection) -> None:  # noqa: ARG002  the same
        """Say that there will be work once a transaction commits."""
        connection.poke()


class Ears:
    """A thread that rings the bell when another process pokes the database."""

    def __init__(self, database: Database, bell: Bell) -> None:
        """Listen until closed."""
        self._database = database
        self._bell = bell
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="durex-ears", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen_once()
            except DatabaseError as error:
                _log.warning("cannot listen to the database, trying again: %s", error)
                self._closing.wait(_PAUSE_SECONDS)

    def _listen_once(self) -> None:
        with self._database.listen(_LISTEN_SECONDS) as pokes:
            # What was poked while nobody listened is found by looking.
            self._bell.ring()
            while not self._closing.is_set():
                if pokes.wait():
                    self._bell.ring()
