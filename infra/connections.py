"""How many connections the stack may open, and how many its Aurora cluster takes.

Aurora sets max_connections by the *largest* capacity it may reach, once, at its start. Every function keeps one
connection for each environment, so that the sum of the concurrencies is the sum of the connections.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from infra.plan import QueuePlan
from infra.settings import Settings

SHARE_PERCENT = 70
"""What durex may use of max_connections; the rest is for people, AWS's own, and environments on their way out."""

API_TIMEOUT_SECONDS = 29  # an HTTP API gives up after 30
DRAIN_CONCURRENCY = 2  # the least of a mapping: there is no hurry
_MOST_TICKS = 3  # at once, where nothing is reserved: a sweep, an alarm, and the repetition of one that failed

# (ACU, max_connections) of Aurora PostgreSQL by its maximum capacity: AWS's table, see "Maximum connections for Aurora
# Serverless v2" in the user guide; between two points the table is a straight line.
_TABLE = ((1.0, 189), (4.0, 823), (8.0, 1669), (16.0, 3360), (32.0, 5000), (256.0, 5000))
_FEW = "lower max_concurrency"
_SLEEPER_MAXIMUM = 2000  # with a minimum of 0 or 0.5 ACU
_SLEEPER_MINIMUM_CAPACITY = 0.5


@dataclass(frozen=True, slots=True)
class Share:
    """The connections of one function at its most concurrent."""

    name: str
    connections: int
    fix: str
    reason: str = ""

    def __str__(self) -> str:
        """Show the share as a term of the sum."""
        return f"{self.name} {self.connections:,}{f' ({self.reason})' if self.reason else ''}"


def max_connections(min_capacity: float, max_capacity: float) -> int:
    """Return max_connections of a cluster."""
    limit = next(
        int(low + (high - low) * (max_capacity - below) / (above - below))
        for (below, low), (above, high) in pairwise(_TABLE)
        if max_capacity <= above
    )
    return min(limit, _SLEEPER_MAXIMUM) if min_capacity <= _SLEEPER_MINIMUM_CAPACITY else limit


def allowed(limit: int) -> int:
    """Return what durex may use of a cluster's max_connections."""
    return limit * SHARE_PERCENT // 100


def shares(settings: Settings, plans: tuple[QueuePlan, ...]) -> tuple[Share, ...]:
    """Return every function's connections at most."""
    return (
        *_workers(settings, plans),
        *_api(settings),
        Share("tick", settings.tick_concurrency or _MOST_TICKS, "lower tick_concurrency"),
        Share("drain", DRAIN_CONCURRENCY, _FEW),
        Share("migrate", 1, _FEW),
    )


def capacity_for(connections: int, settings: Settings) -> str | None:
    """Say which capacity would take so many connections, if any would."""
    awake = f" and min_capacity to 1{' with sleeping=false' if settings.sleeping else ''} (it then never pauses)"
    for minimum in (settings.min_capacity, 1.0):
        for maximum, _ in _TABLE:
            if maximum > settings.max_capacity and connections <= allowed(max_connections(minimum, maximum)):
                return f"raise max_capacity to {maximum:g}{'' if minimum == settings.min_capacity else awake}"
    return None


def _workers(settings: Settings, plans: tuple[QueuePlan, ...]) -> Iterator[Share]:
    for plan in plans:
        each = settings.connections_per_worker
        reason = f"{plan.max_concurrency} x {each}" if each > 1 else ""
        yield Share(plan.name, plan.max_concurrency * each, f"lower max_concurrency of {plan.name}", reason)


def _api(settings: Settings) -> Iterator[Share]:
    """Count what is reserved, or else everything that the throttle lets in before the first request times out."""
    throttled = settings.request_burst + settings.requests_per_second * API_TIMEOUT_SECONDS
    reason = f"{settings.request_burst} burst + {settings.requests_per_second}/s x {API_TIMEOUT_SECONDS} s"
    for name, reserved in (("enqueue", settings.enqueue_concurrency), ("api", settings.api_concurrency)):
        if reserved is None:
            yield Share(name, throttled, f"reserve a number with {name}_concurrency, or lower the throttle", reason)
        else:
            yield Share(name, reserved, f"lower {name}_concurrency")
