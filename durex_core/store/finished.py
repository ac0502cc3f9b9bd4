"""Finished commands: dropping what is past its retention."""

from datetime import datetime, timedelta

from durex_core.model import Retention
from durex_core.store.database import Connection


def prune(
    connection: Connection, retention: Retention, *, keep: timedelta, limit: int, now: datetime | None = None
) -> int:
    """Drop at most `limit` commands of a class that finished longer than `keep` ago; return how many."""
    return len(connection.run(f"finished/prune_{retention}", keep_seconds=keep.total_seconds(), limit=limit, now=now))
