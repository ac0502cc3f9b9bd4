"""What a settlement counts as: the one answer that all metrics share, so that no two of them can disagree."""

from enum import StrEnum

from durex_core.model import State
from durex_core.records import record
from durex_core.rules.outcomes import Settlement

_FAILED = frozenset({State.FAILED, State.DEAD_LETTER})

# How an attempt fails that another one may follow. Being given back, or not being known here, is nobody's failure.
_FAILURES = frozenset({"failed", "timed_out", "retrying", "refused"})

_RELEASED = "released"


class Count(StrEnum):
    """What a settlement adds one to."""

    COMPLETED = "completed"
    FAILED = "failed"
    RETRIED = "retried"


@record
class Measured:
    """What a settlement adds to the metrics: one to a count, and how long its handler took to come to its end."""

    count: Count | None = None
    seconds: float | None = None


def measure(settlement: Settlement, seconds: float) -> Measured:
    """Say what a settlement counts as; `seconds` is how long its handler ran, or 0 if it did not run."""
    came_to_its_end = seconds > 0 and settlement.outcome != _RELEASED
    return Measured(_count(settlement), seconds if came_to_its_end else None)


def _count(settlement: Settlement) -> Count | None:
    if settlement.state is State.COMPLETED or settlement.opens_run:
        return Count.COMPLETED
    if settlement.state in _FAILED:
        return Count.FAILED
    return Count.RETRIED if _is_followed_by_another_attempt(settlement) else None


def _is_followed_by_another_attempt(settlement: Settlement) -> bool:
    """Say whether an attempt failed and the next is to come; with an `ending`, only a hook is still to run."""
    goes_on = not settlement.state.is_terminal and settlement.ending is None
    return goes_on and settlement.outcome in _FAILURES
