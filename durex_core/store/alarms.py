"""Alarms that are set, by bucket: so that only the first who needs one calls the scheduler."""

from datetime import datetime

from durex_core.store.database import Connection


def is_booked(connection: Connection, bucket: datetime) -> bool:
    """Say whether the alarm of a bucket is known to be set."""
    return bool(connection.run("alarms/find", bucket=bucket))


def book(connection: Connection, bucket: datetime) -> None:
    """Note that the alarm of a bucket is set: after it is, never before."""
    connection.run("alarms/book", bucket=bucket)


def prune(connection: Connection, *, now: datetime | None = None) -> int:
    """Forget the alarms whose buckets have begun; return how many."""
    return len(connection.run("alarms/prune", now=now))
