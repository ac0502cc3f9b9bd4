"""The bell: how a worker that waits hears of work, from its own process and from others."""

import logging
import threading
from collections.abc import Collection

from durex_core.errors import DatabaseUnavailable
from durex_core.store.database import Database

_LISTEN_SECONDS = 1.0
_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Bell:
    """Rings for every thread that waits; a ring between two waits is not lost."""

    def __init__(self) -> None:
        """Begin silent."""
        self._rung = threading.Event()

    def ring(self) -> None:
        """Wake the waiter, or let its next wait return at once."""
        self._rung.set()

    def wait(self, timeout_seconds: float | None) -> None:
        """Wait for a ring, or for the timeout."""
        self._rung.wait(timeout_seconds)
        self._rung.clear()


class LocalWake:
    """Tells the worker of this process, if there is one, and those of other processes."""

    def __init__(self, database: Database, bell: Bell) -> None:
        """Ring a bell, and poke through a database."""
        self._database = database
        self._bell = bell

    def ready(self, queues: Collection[str]) -> None:
        """Say that these queues have work."""
        if queues:
            self._bell.ring()
            self._database.poke()


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
            except DatabaseUnavailable as error:
                _log.warning("cannot listen to the database, trying again: %s", error)
                self._closing.wait(_PAUSE_SECONDS)

    def _listen_once(self) -> None:
        with self._database.listen(_LISTEN_SECONDS) as pokes:
            # What was poked while nobody listened is found by looking.
            self._bell.ring()
            while not self._closing.is_set():
                if pokes.wait():
                    self._bell.ring()
