"""Virtual time: a clock that only the test moves."""

from datetime import UTC, datetime, timedelta

from durex_core.clock import utc_now
from durex_core.testing.errors import ClockError


class VirtualClock:
    """A clock that stands still until it is moved, and never goes back."""

    def __init__(self, start: datetime | None = None) -> None:
        """Begin at an aware moment (default: the real now)."""
        self._now = _in_utc(start or utc_now())

    def __repr__(self) -> str:
        """Tell the time."""
        return f"VirtualClock({self._now.isoformat()})"

    @property
    def now(self) -> datetime:
        """The virtual moment, aware and in UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Let time pass. Nothing runs because of it; `Harness.advance` runs what becomes due.

        Raises:
            ClockError: `by` is negative.
        """
        self.set(self._now + by)

    def set(self, moment: datetime) -> None:
        """Go to a moment.

        Raises:
            ClockError: it lies in the past, or has no time zone.
        """
        moment = _in_utc(moment)
        if moment < self._now:
            raise ClockError(f"{moment.isoformat()} is before {self._now.isoformat()}; virtual time never goes back")
        self._now = moment


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ClockError(f"{moment.isoformat()} has no time zone; write datetime(…, tzinfo=UTC)")
    return moment.astimezone(UTC)
