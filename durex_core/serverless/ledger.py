"""The ledger of an invocation: what became of the attempts that it started, and whom that wakes.

The runner tells of settlements from other threads. An invocation must not end before all were told: Lambda freezes the
process at once, and a wake that was not sent by then would be lost.
"""

import math
import threading
from datetime import timedelta

from durex_core.execution.writer import Written
from durex_core.rules.outcomes import Settlement

Due = tuple[str, int]
"""A queue that has work, and in how many seconds."""


class Ledger:
    """Counts attempts from their start to their settlement."""

    def __init__(self) -> None:
        """Start empty."""
        self._changed = threading.Condition()
        self._open = 0
        self._lost = 0
        self._due: set[Due] = set()

    @property
    def is_done(self) -> bool:
        """Whether every attempt came to its end."""
        with self._changed:
            return self._open == 0

    def begin(self) -> None:
        """Forget what was lost in an earlier invocation."""
        with self._changed:
            self._lost = 0

    @property
    def lost(self) -> int:
        """How many attempts ended without a settlement in the database."""
        with self._changed:
            return self._lost

    def opened(self, count: int) -> None:
        """Attempts were started; some of them may have been settled already."""
        with self._changed:
            self._open += count

    def settled(self, settlement: Settlement, written: Written) -> None:
        """Take note of a settlement, and of what came of it."""
        with self._changed:
            self._open -= 1
            self._due |= {(queue, 0) for queue in written.woken}
            if written.held:
                self._due |= {(queue, _seconds(delay)) for queue, delay in settlement.wakes.items()}
            else:
                self._lost += 1
            self._changed.notify_all()

    def news(self, timeout_seconds: float) -> tuple[set[Due], bool]:
        """Return who is to be woken since the last call, and whether every attempt came to its end.

        Waits for one or the other, or for the timeout.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._due or self._open == 0, timeout_seconds)
            due, self._due = self._due, set()
            return due, self._open == 0


def _seconds(delay: timedelta) -> int:
    return math.ceil(delay.total_seconds())
