"""Ahead: how many commands a worker claims beyond those that it can run at once.

One claim of a thousand commands costs the database little more than one of ten. A worker whose handlers are quick
therefore claims what it will have run a moment later; one whose handlers take their time claims nothing ahead, and
leaves what it cannot run yet to others.
"""

AHEAD_SECONDS = 0.1
"""For how long, at the pace of late, what is claimed ahead waits for its turn."""

MOST_AHEAD = 2000

_LOOK_SECONDS = 0.02


def to_claim(concurrency: int, unsettled: int, ended_a_second: float) -> int:
    """Return how many commands to claim now, where at most `concurrency` run side by side and so many are unsettled.

    0: enough are there. Who claims ahead does so by halves, so that each claim is worth its while.
    """
    ahead = min(MOST_AHEAD, int(ended_a_second * AHEAD_SECONDS))
    missing = concurrency + ahead - unsettled
    return min(missing, MOST_AHEAD // 2) if missing > ahead // 2 else 0


class Pace:
    """How many attempts end in a second, of late; a moment without any is noticed at the next look."""

    def __init__(self) -> None:
        """Begin without any."""
        self._ended = 0
        self._seconds = 0.0
        self._ended_a_second = 0.0

    def look(self, ended: int, seconds: float) -> float:
        """Take a count of all that ever ended, at a moment of a monotonic clock, and return the pace."""
        passed = seconds - self._seconds
        if passed >= _LOOK_SECONDS:
            self._ended_a_second = (ended - self._ended) / passed
            self._ended, self._seconds = ended, seconds
        return self._ended_a_second
