"""Ahead: how many commands a worker claims beyond those that it can run at once.

One claim of a thousand commands costs the database little more than one of ten. A worker whose handlers are quick
therefore claims what it will have run a moment later; one whose handlers take their time claims nothing ahead, and
leaves what it cannot run yet to others.
"""

from durex_core.records import record

AHEAD_SECONDS = 0.1
"""For how long, at the pace of late, what is claimed ahead waits for its turn."""

MOST_AHEAD = 4000
MOST_AT_ONCE = 1000

_LOOK_SECONDS = 0.005
_LATELY_SECONDS = 1.0


def to_claim(concurrency: int, unsettled: int, ended_a_second: float) -> int:
    """Return how many commands to claim now, where at most `concurrency` run side by side and so many are unsettled.

    0: enough are there. Who claims ahead does so by halves, or by as many as a claim may take, so that each is worth
    its while.
    """
    ahead = min(MOST_AHEAD, int(ended_a_second * AHEAD_SECONDS))
    missing = concurrency + ahead - unsettled
    return min(missing, MOST_AT_ONCE) if missing > min(ahead // 2, MOST_AT_ONCE - 1) else 0


@record
class Tally:
    """How many handlers came to an end of their own so far, and how long, in all, at least one was to be called."""

    ended: int = 0
    busy_seconds: float = 0.0


class Pace:
    """How many handlers end in a second, of late, while there is work for them: waiting for a claim does not count."""

    def __init__(self) -> None:
        """Begin without any."""
        self._tally = Tally()
        self._seconds = 0.0
        self._ended_a_second = 0.0

    def look(self, tally: Tally, seconds: float) -> float:
        """Take a tally at a moment of a monotonic clock, and return the pace; it is forgotten after an idle second."""
        ended, busy_seconds = tally.ended - self._tally.ended, tally.busy_seconds - self._tally.busy_seconds
        is_first = self._ended_a_second == 0.0 and ended > 0
        if busy_seconds >= _LOOK_SECONDS or (is_first and busy_seconds > 0):
            self._ended_a_second = ended / busy_seconds
            self._tally, self._seconds = tally, seconds
        elif seconds - self._seconds > _LATELY_SECONDS:
            self._ended_a_second = 0.0
        return self._ended_a_second

    def forget(self, tally: Tally, seconds: float) -> None:
        """Begin anew: what ended before says nothing of what is to come."""
        self._tally, self._seconds, self._ended_a_second = tally, seconds, 0.0
