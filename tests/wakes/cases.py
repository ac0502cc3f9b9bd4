"""Every single fault of a story, and every two; what becomes of the story with each."""

from collections.abc import Sequence
from itertools import combinations

from wakes.stories import STORIES, Story, told
from wakes.verdicts import Wrong

from durex_core.testing.cloud import Call, Fate, Faults, NoWaker, OneFault, Way
from durex_core.testing.cloud.faults import DETOURS, FAULTS

MORE_CALLS = 12  # than without a fault: the first of two leads to some
MORE_MESSAGES = 3

Case = tuple[int, Fate | Way]
Described = tuple[Faults, str]


class Stalled(OneFault):
    """A call happens later than the wakes and echoes that were sent before it."""

    thaw_after = 100.0


class TwoFaults(Faults):
    """Two calls or messages meet their faults; no service of AWS refuses anything, and no message is lost."""

    def __init__(self, first: Case, second: Case) -> None:
        self._fates = {number: fault for number, fault in (first, second) if isinstance(fault, Fate)}
        self._ways = {number: fault for number, fault in (first, second) if isinstance(fault, Way)}

    def fate_of(self, call: Call) -> Fate:
        fate = self._fates.get(call.number, Fate.PASSES)
        is_borne = fate is not Fate.REFUSED or call.name.startswith("database:")
        return fate if is_borne else Fate.PASSES

    def way_of(self, number: int) -> Way:
        return self._ways.get(number, Way.STRAIGHT)


def single_faults(story: Story) -> list[Described]:
    """Return every fault of every call and message of a story, and freezes that invocations live to see the end of."""
    fair = told(story)
    cases: list[Case] = [(number, fate) for fate in FAULTS for number in range(fair.world.calls)]
    cases += [(number, way) for way in DETOURS for number in range(fair.sqs.sent)]
    stalls = [(Stalled(*case), f"{case}, for less long") for case in cases if case[1] is Fate.FROZEN]
    return [(OneFault(*case), str(case)) for case in cases] + stalls


def double_faults(story: Story) -> list[Described]:
    """Return every two faults at different calls or messages of a story."""
    fair = told(story)
    fates = (Fate.KILLED, Fate.UNANSWERED, Fate.REFUSED)
    cases: list[Case] = [(number, fate) for fate in fates for number in range(fair.world.calls + MORE_CALLS)]
    ways = (Way.DOUBLED, Way.LATE)
    cases += [(number, way) for way in ways for number in range(fair.sqs.sent + MORE_MESSAGES)]
    pairs = [(one, other) for one, other in combinations(cases, 2) if one[0] != other[0]]
    return [(TwoFaults(*pair), str(pair)) for pair in pairs]


def failures(name: str, cases: Sequence[Described]) -> list[str]:
    """Tell a story with each of these faults, and return what went wrong."""
    found = []
    for faults, described in cases:
        try:
            told(STORIES[name], faults)
        except (NoWaker, Wrong) as wrong:
            found.append(f"{described}: {wrong}")
    return found
