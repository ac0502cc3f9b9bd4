"""The ledger of an invocation: what became of the attempts that it started, and whom that wakes.

The runner tells of settlements from other threads. An invocation must not end before all were told: Lambda freezes the
process at once, and a wake that was not sent by then would come as an echo only.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from durex_core.execution.commits import Written
from durex_core.rules.outcomes import Settlement


class Ledger:
    """Counts attempts from their start to their settlement."""

    def __init__(self) -> None:
        """Start empty."""
        self._changed = threading.Condition()
        self._open = 0
        self._lost = 0
        self._ready: Counter[str] = Counter()
        self._ended: set[str] = set()

    @property
    def is_done(self) -> bool:
        """Whether every attempt came to its end."""
        with self._changed:
            return self._open == 0

    def begin(self) -> None:
        """Forget what was lost, and what ended, in an earlier invocation."""
        with self._changed:
            self._lost = 0
            self._ended = set()

    @property
    def lost(self) -> int:
        """How many attempts ended without a settlement in the database."""
        with self._changed:
            return self._lost

    @property
    def ended(self) -> set[str]:
        """The names of the commands that ended."""
        with self._changed:
            return set(self._ended)

    def opened(self, count: int) -> None:
        """Attempts were started; some of them may have been settled already."""
        with self._changed:
            self._open += count

    def settled(self, settled: Sequence[tuple[Settlement, Written]]) -> None:
        """Take note of settlements, and of what came of them."""
        with self._changed:
            self._open -= len(settled)
            for settlement, written in settled:
                self._ready.update(written.woken)
                if written.held:
                    self._ready.update(queue for queue, delay in settlement.work if delay <= timedelta(0))
                    self._ended.update([settlement.command.name] if settlement.state.is_terminal else [])
                else:
                    self._lost += 1
            self._changed.notify_all()

    @property
    def open(self) -> int:
        """How many attempts are yet to come to their end."""
        with self._changed:
            return self._open

    def news(self, timeout_seconds: float, down_to: int = 0) -> tuple[dict[str, int], bool]:
        """Return how many commands became ready in which queues since the last call, and whether the attempts ended.

        All but `down_to` of them, that is. Waits for one or the other, or for the timeout.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._open <= down_to, timeout_seconds)
            ready, self._ready = dict(self._ready), Counter()
            return ready, self._open <= down_to
