"""Virtual time as a line of entries: what happens when, one after the other, the same in every run."""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta

from durex_core.testing.clock import VirtualClock

Action = Callable[[], None]


class Timeline:
    """Keeps what is to happen and does it in its order; nothing happens between two entries.

    Times are seconds since the line began.
    """

    def __init__(self, start: datetime) -> None:
        """Begin at a moment."""
        self.start = start
        self.seconds = 0.0
        self._clock = _LineClock(self)
        self._entries: list[tuple[float, int, Action]] = []
        self._made = 0

    @property
    def now(self) -> datetime:
        """The virtual moment."""
        return self.start + timedelta(seconds=self.seconds)

    @property
    def clock(self) -> VirtualClock:
        """A clock that shows this line's time."""
        return self._clock

    @property
    def next_at(self) -> float | None:
        """When the next entry happens, or None if nothing more will."""
        return self._entries[0][0] if self._entries else None

    def seconds_of(self, moment: datetime) -> float:
        """Return a moment in seconds since the line began."""
        return (moment - self.start).total_seconds()

    def at(self, seconds: float, action: Action) -> None:
        """Do something at a time; what is to be done at the same time is done in the order in which it was said."""
        self._made += 1
        heapq.heappush(self._entries, (max(seconds, self.seconds), self._made, action))

    def after(self, delay: float, action: Action) -> None:
        """Do something after so many seconds."""
        self.at(self.seconds + delay, action)

    def pass_until(self, seconds: float) -> None:
        """Let time pass in which nothing happens."""
        self.seconds = max(self.seconds, seconds)

    def take(self, until: float) -> Action | None:
        """Go to the next entry and return what is to be done; None: there is none until then, and time passed."""
        if not self._entries or self._entries[0][0] > until:
            self.pass_until(until)
            return None
        seconds, _, action = heapq.heappop(self._entries)
        self.pass_until(seconds)
        return action


class _LineClock(VirtualClock):
    """Shows the time of a line."""

    def __init__(self, line: Timeline) -> None:
        super().__init__(line.start)
        self._line = line

    @property
    def now(self) -> datetime:
        return self._line.now
