"""Faults: what may happen to each call of a process and to each message on its way."""

from collections.abc import Sequence
from enum import Enum
from random import Random

from durex_core.records import record


class Fate(Enum):
    """What becomes of a call."""

    PASSES = "passes"
    REFUSED = "is refused: it fails before it has an effect"
    UNANSWERED = "has its effect, and its answer is lost"
    KILLED = "never happens: its process is killed before it, in the middle of a transaction if it is one"
    FROZEN = "happens much later: its process is frozen before it"


FAULTS = tuple(fate for fate in Fate if fate is not Fate.PASSES)


class Way(Enum):
    """What becomes of a message."""

    STRAIGHT = "arrives"
    LOST = "is lost"
    DOUBLED = "arrives twice"
    LATE = "arrives late, after others"


DETOURS = tuple(way for way in Way if way is not Way.STRAIGHT)


@record
class Call:
    """A call of a process to the world outside of it; they are counted from 0."""

    number: int
    process: str
    name: str


class Faults:
    """No faults at all; the services take their time. Others override what they change."""

    latency = 0.01
    """How many seconds a call takes."""

    lateness = 300.0
    """How many seconds later a late message arrives."""

    thaw_after = 900.0
    """How many seconds a frozen process stays frozen."""

    def fate_of(self, call: Call) -> Fate:  # noqa: ARG002  for others to override
        """Say what becomes of a call."""
        return Fate.PASSES

    def way_of(self, number: int) -> Way:  # noqa: ARG002  for others to override
        """Say what becomes of a message; they are counted from 0."""
        return Way.STRAIGHT

    def skew(self) -> float:
        """Say by how many seconds the clock of a new execution environment is ahead."""
        return 0.0

    def lateness_of_alarm(self) -> float:
        """Say how many seconds after its time an alarm fires; the scheduler is exact to a minute."""
        return 0.0

    def pick(self, count: int) -> int:  # noqa: ARG002  for others to override
        """Choose one of several messages that wait, by its place."""
        return 0


class OneFault(Faults):
    """Exactly one call, or one message, meets its fault."""

    def __init__(self, number: int, fault: Fate | Way) -> None:
        """Name the call, or the message, by its number."""
        self._number = number
        self._fault = fault

    def fate_of(self, call: Call) -> Fate:
        """Say what becomes of a call."""
        return self._fault if call.number == self._number and isinstance(self._fault, Fate) else Fate.PASSES

    def way_of(self, number: int) -> Way:
        """Say what becomes of a message."""
        return self._fault if number == self._number and isinstance(self._fault, Way) else Way.STRAIGHT


class RandomFaults(Faults):
    """Faults at random, the same for the same seed, until the weather clears."""

    def __init__(
        self,
        seed: int,
        *,
        rate: float = 0.05,
        fates: Sequence[Fate] = FAULTS,
        ways: Sequence[Way] = DETOURS,
        skew: float = 60.0,
    ) -> None:
        """Let about this share of calls and messages meet a fault of these kinds."""
        self.is_over = False
        self._random = Random(seed)  # noqa: S311  weather, not a secret
        self._rate = rate
        self._fates = fates
        self._ways = ways
        self._skew = skew
        self.latency = self._random.choice((0.002, 0.02, 0.2))
        self.lateness = self._random.choice((5.0, 120.0, 1200.0))
        self.thaw_after = self._random.choice((20.0, 235.0, 2000.0))

    def clear(self) -> None:
        """Let nothing go wrong from here on."""
        self.is_over = True

    def fate_of(self, call: Call) -> Fate:  # noqa: ARG002  all calls are alike
        """Say what becomes of a call."""
        if self.is_over or self._random.random() >= self._rate or not self._fates:
            return Fate.PASSES
        return self._random.choice(self._fates)

    def way_of(self, number: int) -> Way:  # noqa: ARG002  all messages are alike
        """Say what becomes of a message."""
        if self.is_over or self._random.random() >= self._rate or not self._ways:
            return Way.STRAIGHT
        return self._random.choice(self._ways)

    def skew(self) -> float:
        """Say by how many seconds the clock of a new execution environment is ahead."""
        return self._random.uniform(-self._skew, self._skew) if self._skew else 0.0

    def lateness_of_alarm(self) -> float:
        """Say how many seconds after its time an alarm fires."""
        return self._random.uniform(0, 60)

    def pick(self, count: int) -> int:
        """Choose one of several messages that wait."""
        return int(self._random.random() * count)
