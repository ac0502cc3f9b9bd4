"""The tick function: what time brings about.

An alarm, the sweep of every few hours, or a schedule of each minute calls it. It takes back expired leases, sees to the
permanent commands, promotes what is due, wakes the queues that have work and sees to it that those are woken which will
have some, makes the handlers known to SQL, and prunes.
"""

from collections.abc import Sequence

from durex_core.errors import DatabaseUnavailable
from durex_core.model import RetentionPolicy
from durex_core.observer import Observers
from durex_core.operations.permanent import ensure
from durex_core.operations.schema import publish
from durex_core.operations.wake import Wake
from durex_core.passes.dispatch import dispatch
from durex_core.passes.prune import prune
from durex_core.passes.rescue import rescue
from durex_core.registry import Registry
from durex_core.rules.wakes import Due
from durex_core.serverless.patience import wait_for_database
from durex_core.store import alarms, commands
from durex_core.store.database import Database

_PATIENCE_SECONDS = 25.0


class WakesRefused(Exception):
    """Queues have work and nobody could be told; Lambda calls the tick again."""


def tick(
    database: Database,
    registry: Registry,
    wake: Wake,
    policy: RetentionPolicy,
    observers: Observers | None = None,
) -> dict[str, object]:
    """Do one round and return what it did, for the log.

    Raises:
        DatabaseUnavailable: it did not come back from its pause in time; the tick is to be called again.
        WakesRefused: the wakes of work that is due could not be sent.
    """
    queues = registry.queues
    told = observers or Observers()
    _wait(database, wake, queues)
    rescued = rescue(database)
    begun = ensure(database, registry, wake, observers=told)
    promoted = dispatch(database, queues=queues)
    with database.autocommit() as connection:
        due = {queue: Due(delay) for queue, delay in commands.due_by_queue(connection, queues).items()}
        alarms.prune(connection)
    is_seen_to = wake.ahead(due) & wake.ready(due)
    publish(database, registry)
    pruned = prune(database, policy)
    if pruned.commands:
        told.pruned(pruned.commands)
    if not is_seen_to:
        raise WakesRefused(f"not all queues that have work could be woken: {', '.join(sorted(due))}")
    return {
        "rescued": len(rescued),
        "begun": len(begun),
        "promoted": len(promoted),
        "due": {queue: round(each.delay.total_seconds()) for queue, each in sorted(due.items())},
        "pruned": pruned.commands + pruned.keys + pruned.joined,
    }


def _wait(database: Database, wake: Wake, queues: Sequence[str]) -> None:
    """Wait for the database, or wake every queue: those wakes are delivered again until the database is back."""
    try:
        wait_for_database(database, seconds=_PATIENCE_SECONDS)
    except DatabaseUnavailable:
        wake.ready(dict.fromkeys(queues, Due()))
        raise
