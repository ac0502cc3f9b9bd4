"""The bell: how a worker that waits hears of work, from its own process and from others."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from durex_core.clock import monotonic_seconds, utc_now
from durex_core.errors import DatabaseError
from durex_core.rules.wakes import Due
from durex_core.store.database import Connection, Database, Pokes

_LISTEN_SECONDS = 0.2
_PAUSE_SECONDS = 1.0
_JUMP_SECONDS = 1.0

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

    def wait(self, timeout_seconds: float | None) -> bool:
        """Wait for a ring, or for the timeout; say whether it rang."""
        try:
            self._rings.get(timeout=timeout_seconds)
        except queue.Empty:
            return False
        return True

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

    def ahead(self, due: Mapping[str, Due]) -> bool:  # noqa: ARG002  workers look by themselves when something is due
        """Do nothing: a worker is there to hear of the commit."""
        return True

    def ready(self, due: Mapping[str, Due]) -> bool:
        """Say that there is work; when it is due, the worker reads from the database. One bell is for all queues."""
        self._bell.ring()
        if not due or not all(each.is_told for each in due.values()):
            self._database.poke()
        return True

    def soon(self, due: Mapping[str, Due], connection: Connection) -> bool:  # noqa: ARG002  the same
        """Say that there will be work once a transaction commits."""
        connection.poke()
        return True


class Ears:
    """A thread that rings the bell when another process pokes the database, or when the clock jumped.

    Attributes:
        are_sure: whether no poke goes by unheard at the moment.
    """

    def __init__(self, database: Database, bell: Bell, clock: "Jumps | None" = None) -> None:
        """Listen until closed."""
        self.are_sure = False
        self._database = database
        self._bell = bell
        self._clock = clock or Jumps()
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
            self.are_sure = pokes.are_certain
            # What was poked while nobody listened is found by looking.
            self._bell.ring()
            try:
                self._listen_to(pokes)
            finally:
                # Whoever relied on these ears must know, and look.
                self.are_sure = False
                self._bell.ring()

    def _listen_to(self, pokes: Pokes) -> None:
        while not self._closing.is_set():
            has_poke = pokes.wait()
            if self._clock.has_jumped() or has_poke:
                self._bell.ring()


class Jumps:
    """Notices when the clock on the wall went on otherwise than time did: the machine slept, or somebody set the clock.

    Waits do not: they go by the time for which the machine was awake, and what is due goes by the clock.
    """

    def __init__(
        self, wall: Callable[[], datetime] = utc_now, steady_seconds: Callable[[], float] = monotonic_seconds
    ) -> None:
        """Compare two clocks from here on."""
        self._wall = wall
        self._steady_seconds = steady_seconds
        self._apart_seconds = self._measure()

    def has_jumped(self) -> bool:
        """Whether it jumped since the last question."""
        before, self._apart_seconds = self._apart_seconds, self._measure()
        return abs(self._apart_seconds - before) > _JUMP_SECONDS

    def _measure(self) -> float:
        return self._wall().timestamp() - self._steady_seconds()
