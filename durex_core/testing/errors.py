"""What can go wrong in a test beside the test's own assertions."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from durex_core.errors import DurexError


class ClockError(DurexError, ValueError):
    """Virtual time was told to go where it cannot: back, or to a moment without a time zone."""


class HarnessBusy(DurexError):
    """Commands are running already; only the test itself moves time and runs commands, one call at a time."""


class EndlessLoop(DurexError):
    """More attempts ran than the limit allows."""

    def __init__(self, limit: int, attempts: Counter[str]) -> None:
        """Keep how often each command ran."""
        name, times = attempts.most_common(1)[0]
        super().__init__(
            f"more than {limit} attempts ran, most of them of {name!r} ({times} of {attempts.total()}). Does it return "
            "Repeat or Next, or retry, without a delay? If so many are meant, pass a higher limit="
        )
        self.limit = limit
        self.attempts = attempts


class StillRunning(DurexError):
    """A handler did not end in time; the harness waits for handlers in real time."""

    def __init__(self, names: Iterable[str], patience: timedelta) -> None:
        """Name what still runs."""
        listed = ", ".join(sorted(names)) or "an attempt"
        super().__init__(
            f"{listed} did not end within {patience} of real time. Does it wait for something that only happens after "
            "it? Otherwise give Harness a longer patience="
        )
