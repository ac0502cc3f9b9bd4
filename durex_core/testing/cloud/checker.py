"""The conservation of wakes, as a statement over the store and the simulation that holds at every step.

Every live command has somebody who will come for it: a message of its queue, an alarm, a tick that runs or is yet to be
retried, or a process that committed and is about to tell. Each comes by the moment at which the command is ready, or
soon after; the slow sweep does not count.
"""

from collections.abc import Mapping

from durex_core.aws.wake import MalformedWake, WakeMessage
from durex_core.testing.cloud.connections import SimulatedDatabase
from durex_core.testing.cloud.functions import Function
from durex_core.testing.cloud.queues import Queue
from durex_core.testing.cloud.scheduler import NEVER, SimulatedScheduler
from durex_core.testing.cloud.storage import Storage
from durex_core.testing.cloud.world import World

SOON = 960.0
"""How many seconds after its moment somebody must come for a command, beyond the visibility timeout of its queue: the
longest delay of a message, or the next alarm and its minute."""

_MINUTE = 60.0

# When the first command of each queue is ready by itself. One that waits for others is, at the latest, when it expires.
_FIRST_MOMENTS = """
SELECT queue, count(*) AS commands, min(CASE state
    WHEN 'pending' THEN 0
    WHEN 'started' THEN lease_expires_at
    WHEN 'waiting' THEN expires_at
    ELSE min(ready_at, coalesce(expires_at, ready_at))
END) AS moment, max(state = 'waiting') AS waits
FROM commands
GROUP BY queue
"""

# Commands that wait for more than there is.
_WAIT_IN_VAIN = """
SELECT id, awaits FROM commands AS waiting
WHERE state = 'waiting' AND awaits > (SELECT count(*) FROM commands AS part WHERE part.join_id = waiting.id)
"""


class Conservation:
    """Says which live commands nobody will come for."""

    def __init__(
        self,
        world: World,
        database: SimulatedDatabase,
        *,
        storage: Storage,
        scheduler: SimulatedScheduler,
        queues: Mapping[str, Queue],
        tick: Function,
    ) -> None:
        """Look at a store, and at who will wake its queues."""
        self._world = world
        self._database = database
        self._read = storage.read
        self._scheduler = scheduler
        self._queues = queues
        self._tick = tick
        self._epoch = world.timeline.start.timestamp()

    def __call__(self) -> str | None:
        """Return what is wrong, or None. What is not committed yet can be read, and says nothing."""
        is_owed = any(each.life.owes_wakes and not each.life.is_dead for each in self._world.processes.living)
        if is_owed or self._database.is_in_transaction or self._tick.pending:
            return None
        now = self._world.timeline.seconds
        alarm = self._first_alarm(now)
        for queue, commands, moment, waits in self._read(_FIRST_MOMENTS):
            if waits and (vain := self._read(_WAIT_IN_VAIN)):
                return f"command {vain[0][0]} waits for {vain[0][1]} commands that are not there"
            if moment is None:
                continue
            ready = max(now, moment / 1e6 - self._epoch)
            waker = min(alarm, self._first_wake(queue, now))
            if waker > ready + SOON + self._queues[queue].visibility:
                return (
                    f"queue {queue!r} has {commands} live commands, the first is ready in {ready - now:.3f} s, and "
                    + (
                        "nobody will come for it"
                        if waker == NEVER
                        else f"the first to come does so in {waker - now:.3f} s"
                    )
                )
        return None

    def _first_alarm(self, now: float) -> float:
        coming = (each.fires_at for each in self._scheduler.schedules.values() if each.fires_at + _MINUTE >= now)
        return min(coming, default=NEVER)

    def _first_wake(self, queue: str, now: float) -> float:
        """Return when the first wake of a queue can be received; one in flight can be when it is not deleted."""
        live = self._queues[queue].live.values()
        return min((max(now, each.visible_at) for each in live if _is_wake(each.body, queue)), default=NEVER)


_known: dict[tuple[str, str], bool] = {}


def _is_wake(body: str, queue: str) -> bool:
    key = body, queue
    if key not in _known:
        try:
            _known[key] = WakeMessage.decode(body).queue == queue
        except MalformedWake:
            _known[key] = False
    return _known[key]
