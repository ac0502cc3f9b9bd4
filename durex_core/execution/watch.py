"""The watch: a thread that nothing can block, which ends what takes longer than it may."""

import logging
import math
import threading
from typing import Protocol

from durex_core.clock import monotonic_seconds

_log = logging.getLogger(__name__)


class Limited(Protocol):
    """Something that must have ended by a moment of the monotonic clock."""

    @property
    def ends_at_seconds(self) -> float:
        """The moment."""
        ...

    def end(self) -> None:
        """Hear that the moment came."""
        ...


class Watch:
    """Ends what has not ended in time.

    The thread waits for the earliest moment among what it watched at its last look. What ends in time leaves no timer
    behind: it costs an entry in a set, and a look in vain when the thread wakes at its moment.
    """

    def __init__(self) -> None:
        """Start no thread before there is something to watch."""
        self._watched: set[Limited] = set()
        self._changed = threading.Condition()
        self._looks_at_seconds = math.inf
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def add(self, limited: Limited) -> None:
        """Watch something until it is discarded."""
        with self._changed:
            self._watched.add(limited)
            if limited.ends_at_seconds < self._looks_at_seconds:
                self._looks_at_seconds = limited.ends_at_seconds
                self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="durex-watch", daemon=True)
                self._thread.start()

    def discard(self, limited: Limited) -> None:
        """Watch something no longer."""
        with self._changed:
            self._watched.discard(limited)

    def close(self) -> None:
        """Stop watching."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._is_closing:
            for late in self._late():
                try:
                    late.end()
                except BaseException:  # noqa: BLE001  others must end in time all the same
                    _log.exception("what took too long could not be ended")

    def _late(self) -> list[Limited]:
        """Return what should have ended by now; if nothing, after a wait until something may have to."""
        with self._changed:
            now = monotonic_seconds()
            late = [each for each in self._watched if each.ends_at_seconds <= now]
            self._watched.difference_update(late)
            self._looks_at_seconds = min((each.ends_at_seconds for each in self._watched), default=math.inf)
            if not late and not self._is_closing:
                self._changed.wait(min(self._looks_at_seconds - now, threading.TIMEOUT_MAX))
            return late
