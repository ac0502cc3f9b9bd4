"""How long to wait after a failed attempt."""

from datetime import timedelta

from durex_core.backoff import Backoff, Constant, Exponential, Jittered, Linear, NoBackoff

# Beyond this many doublings every delay has long reached its maximum, and the power would overflow a float.
_MAX_EXPONENT = 64


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
            return min(_scaled(initial, factor ** min(failed_attempt - 1, _MAX_EXPONENT)), cap)
        case Jittered(backoff=inner, rate=rate):
            spread = 1 + rate * (2 * randomness - 1)
            return delay_before(inner, failed_attempt, randomness) * spread


def _scaled(delay: timedelta, factor: float) -> timedelta:
    """Multiply, stopping short of what a timedelta can hold."""
    return timedelta(seconds=min(delay.total_seconds() * factor, timedelta(days=3660).total_seconds()))
