"""How long to wait after a failed attempt."""

import math
from datetime import timedelta

from durex_core.backoff import Backoff, Constant, Exponential, Jittered, Linear, NoBackoff

# Longer than any delay that a backoff may name.
_LONGEST = timedelta(days=3660)
_LONGEST_PATIENCE = timedelta(minutes=1)


def delay_before(backoff: Backoff, failed_attempt: int, randomness: float) -> timedelta:
    """Return the delay between `failed_attempt` (from 1) and the next; `randomness` is in [0, 1)."""
    match backoff:
        case NoBackoff():
            return timedelta(0)
        case Constant(delay=delay):
            return delay
        case Linear(initial_delay=initial, max_delay=cap):
            return min(_scaled(initial, failed_attempt), cap)
        case Exponential(initial_delay=initial, factor=factor, max_delay=cap):
            return min(_scaled(initial, _power(factor, failed_attempt - 1)), cap)
        case Jittered(backoff=inner, rate=rate):
            spread = 1 + rate * (2 * randomness - 1)
            return delay_before(inner, failed_attempt, randomness) * spread


def longer_each_time(times: int) -> timedelta:
    """Return 1 s the first time, twice as long each further time, a minute at most."""
    return min(timedelta(seconds=2**times), _LONGEST_PATIENCE)


def _power(factor: float, exponent: int) -> float:
    try:
        return factor**exponent
    except OverflowError:
        return math.inf


def _scaled(delay: timedelta, factor: float) -> timedelta:
    """Multiply, stopping short of what a timedelta can hold."""
    return timedelta(seconds=min(delay.total_seconds() * factor, _LONGEST.total_seconds())) if delay else delay
