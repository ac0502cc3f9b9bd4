"""Random stories in random weather: what a seed tells, and whether it came to a good end."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from wakes.stories import (
    HOURS,
    MINUTES,
    SECONDS,
    Story,
    accept,
    app,
    enqueue,
    first,
    frail,
    gather,
    operate,
    spread,
    told,
    work,
)

from durex_core import Spec
from durex_core.backoff import Constant
from durex_core.testing.cloud import Call, Fate, RandomFaults, SimulatedCloud, Way
from durex_core.testing.cloud.faults import FAULTS

__all__ = ["FAULTS", "run"]

_DELAYS = (0, 0, 0, 1, 30, 400, 870, 3000, 90_000)
_DATABASE = "database:"


class Fair(RandomFaults):
    """Weather in which no wake is lost for good: the conservation of wakes must hold at every step."""

    def __init__(self, seed: int, rate: float) -> None:
        """Leave out what no single safeguard can bear: lost messages, services that refuse, very long freezes."""
        super().__init__(seed, rate=rate, ways=(Way.DOUBLED, Way.LATE))
        self.lateness = min(self.lateness, 300.0)
        self.thaw_after = 9.0
        self._ticks_left = 2

    def fate_of(self, call: Call) -> Fate:
        """Refuse nothing but the database, and let a tick fail no more often than it is tried again."""
        fate = super().fate_of(call)
        if fate is Fate.REFUSED and not call.name.startswith(_DATABASE):
            return Fate.PASSES
        if fate is not Fate.PASSES and call.process.startswith("tick"):
            self._ticks_left -= 1
            return fate if self._ticks_left >= 0 else Fate.PASSES
        return fate


def run(seed: int) -> SimulatedCloud:
    """Tell the story of a seed to its end.

    Raises:
        AssertionError: it came to no good end; the message has the last steps.
    """
    random = Random(seed)
    rate = random.choice((0.01, 0.05, 0.15))
    is_fair = seed % 2 == 0
    faults = Fair(seed, rate) if is_fair else RandomFaults(seed, rate=rate)
    clears_after = timedelta(seconds=random.choice((60, 1200, 4000)))

    def tell(cloud: SimulatedCloud) -> None:
        for _ in range(random.randint(1, 3)):
            _ask(cloud, random)
        cloud.after(clears_after, faults.clear)
        if random.random() < 0.2:
            lasting = timedelta(seconds=random.choice((10, 300, 3600)))
            cloud.lose_database(after=timedelta(seconds=random.choice((0, 0.1, 30, 1000))), lasting=lasting)

    return told(
        Story(tell, within=60 * HOURS, concurrency=random.choice((1, 2, 10))),
        faults,
        seed=seed,
        maximum=random.choice((2, 10)),
        sweep=6 * HOURS,
        is_checked=is_fair,
    )


def _ask(cloud: SimulatedCloud, random: Random) -> None:
    """Send a request, and perhaps another one that operates on what it enqueued."""
    after = timedelta(seconds=random.choice((0, 0, 3, 50, 700)))
    ask = random.choice((enqueue, enqueue, accept))
    home = random.choice(("api-1", "api-2"))
    ids = ask(cloud, *random.choice(_SPECS)(random), after=after, home=home)
    if random.random() < 0.3:
        operation = random.choice(_OPERATIONS)
        operate(cloud, ids, operation, after + timedelta(seconds=random.choice((0.05, 5, 100, 2000))))


def _delay(random: Random) -> timedelta:
    return timedelta(seconds=random.choice(_DELAYS))


def _work(random: Random) -> list[Spec]:
    payload: dict[str, Any] = {"takes": random.choice((0.0, 0.1, 3.0, 20.0)), "fails": random.choice((0, 0, 1, 9))}
    backoff = Constant(timedelta(seconds=random.choice((0, 1, 20, 1000))))
    deadline = random.choice((None, None, None, 100 * SECONDS, 30 * MINUTES))
    spec = work.spec(payload, delay=_delay(random), backoff=backoff, retries=random.choice((0, 2)), deadline=deadline)
    return [spec] * random.choice((1, 1, 1, 3, 7))


def _repeated(random: Random) -> list[Spec]:
    return [work.spec({"repeats": 2, "period": random.choice((0, 5, 1000))}, delay=_delay(random))]


def _frail(random: Random) -> list[Spec]:
    return [frail.spec({"takes": random.choice((0.1, 15.0))}, delay=_delay(random))]


def _spread(random: Random) -> list[Spec]:
    return [spread.spec({"children": [random.choice(_DELAYS) for _ in range(random.randint(1, 3))]})]


def _gathered(random: Random) -> list[Spec]:
    return [gather.spec({"children": [random.choice((0, 0, 1, 9)) for _ in range(random.randint(1, 3))]})]


def _sequence(random: Random) -> list[Spec]:
    return [first.spec({}, delay=_delay(random), sequence=("second", "first", "second"))]


_SPECS: tuple[Callable[[Random], list[Spec]], ...] = (
    _work,
    _work,
    _work,
    _repeated,
    _frail,
    _spread,
    _gathered,
    _sequence,
)
_OPERATIONS: tuple[Callable[[UUID], object], ...] = (app.cancel, app.retry, app.replay)
