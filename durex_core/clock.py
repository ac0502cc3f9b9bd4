"""The one place that reads the machine's clock.

Time is an argument everywhere else; the lint configuration bans wall-clock reads outside this module. Leases and due
times are decided by the database's clock, never by this one.
"""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current moment as an aware UTC datetime."""
    return datetime.now(UTC)


def unix_milliseconds() -> int:
    """Return the current moment as a Unix time in whole milliseconds."""
    return time.time_ns() // 1_000_000


def monotonic_seconds() -> float:
    """Return seconds on a clock that never goes back, for measuring intervals inside one process."""
    return time.monotonic()


def pause(seconds: float) -> None:
    """Let this thread rest."""
    time.sleep(seconds)
