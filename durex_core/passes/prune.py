"""Prune: drop finished commands, keys and join rows past their time, and keep partitions ahead of it."""

from datetime import datetime

from durex_core.model import Retention, RetentionPolicy
from durex_core.records import record
from durex_core.store import finished, joins, keys, partitions
from durex_core.store.database import Database


@record
class Pruned:
    """What a pass dropped; a number at its limit means that there is more."""

    commands: int
    keys: int
    joined: int
    partitions_changed: int


def prune(database: Database, policy: RetentionPolicy, *, limit: int = 1000, now: datetime | None = None) -> Pruned:
    """Drop at most `limit` commands of each class, keys and rows of joins, each in a transaction of its own."""
    return Pruned(
        partitions_changed=database.transact(lambda connection: partitions.keep_up(connection, policy, now=now)),
        commands=sum(_prune_class(database, policy, retention, limit, now) for retention in Retention),
        keys=database.transact(lambda connection: keys.prune(connection, limit=limit, now=now)),
        joined=database.transact(lambda connection: joins.prune(connection, limit=limit)),
    )


def _prune_class(
    database: Database, policy: RetentionPolicy, retention: Retention, limit: int, now: datetime | None
) -> int:
    keep = policy.keep(retention)
    return database.transact(lambda connection: finished.prune(connection, retention, keep=keep, limit=limit, now=now))
