"""Rest: for how long a worker waits, and that it looks once more before it waits for long.

A worker that nothing calls runs no query. It looks at the database when the bell rings, when something is due of which
it read at its last look (a command, or the end of a lease), and once an hour to sweep. That strands nothing, because
whatever makes work ready either pokes, or was to be read at the last look:

* What is enqueued, retried by a person or woken by others pokes with its commit or after it. Whoever lost the
  connection on which pokes come looks when it is back; whoever cannot be sure to hear them looks once a lease.
* What another worker settles to run again, it looks after itself. If that worker vanishes, its lease ends, and who read
  of the lease looks then and reads on from there.
* A lease begins with a claim, which pokes nobody. But what was claimed had poked, or had become due, and so this worker
  looked at that moment too; perhaps too early to see the claim, which holds its rows until it commits. Therefore it
  looks a second time, a while after the last turn that something brought about, and finds the lease.
"""

import math
from datetime import timedelta

from durex_core.local.bell import Bell

AGAIN_AFTER = timedelta(seconds=60)


class Rest:
    """The rests of a worker between its turns.

    Attributes:
        is_second_look: whether nothing brought about the present turn but that something did a while ago.
    """

    def __init__(self, bell: Bell, lease: timedelta) -> None:
        """Wait on a bell; a second look comes after a minute, or a lease if that is shorter."""
        self._bell = bell
        self._again_seconds = min(AGAIN_AFTER, lease).total_seconds()
        self.is_second_look = False

    def take(self, seconds: float, *, hears_all: bool) -> None:
        """Rest until something is due, so many seconds from now, or until the bell rings, or for a second look."""
        again = math.inf if self.is_second_look and hears_all else self._again_seconds
        has_rung = self._bell.wait(min(seconds, again))
        self.is_second_look = not has_rung and again < seconds
