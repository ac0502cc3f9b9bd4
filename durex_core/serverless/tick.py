"""The tick function: what time brings about.

It takes back expired leases, sees to the permanent commands, promotes what is due, wakes the queues that have work,
makes the handlers known to SQL, and prunes.
"""

from datetime import timedelta

from durex_core.model import RetentionPolicy
from durex_core.observer import Observer
from durex_core.operations.permanent import ensure
from durex_core.operations.schema import publish
from durex_core.operations.wake import Wake
from durex_core.passes.dispatch import dispatch
from durex_core.passes.prune import prune
from durex_core.passes.rescue import rescue
from durex_core.registry import Registry
from durex_core.serverless.patience import wait_for_database
from durex_core.store import commands
from durex_core.store.database import Database

HORIZON = timedelta(seconds=90)
"""How far ahead a tick sends delayed wakes: until the next tick, and half as much again."""

_PATIENCE_SECONDS = 25.0


def tick(
    database: Database,
    registry: Registry,
    wake: Wake,
    policy: RetentionPolicy,
    observers: Observer | None = None,
) -> dict[str, object]:
    """Do one round and return what it did, for the log."""
    queues = registry.queues
    told = observers or Observer()
    wait_for_database(database, seconds=_PATIENCE_SECONDS)
    rescued = rescue(database)
    begun = ensure(database, registry, wake, observers=told)
    promoted = dispatch(database, queues=queues)
    with database.autocommit() as connection:
        due = commands.due_by_queue(connection, queues, horizon=HORIZON)
    wake.ready(due)
    publish(database, registry)
    pruned = prune(database, policy)
    if pruned.commands:
        told.pruned(pruned.commands)
    return {
        "rescued": len(rescued),
        "begun": len(begun),
        "promoted": len(promoted),
        "woken": sorted(due),
        "pruned": pruned.commands + pruned.keys + pruned.joined,
    }
