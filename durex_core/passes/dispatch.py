"""Dispatch: promote scheduled commands whose time has come, so that they are claimed by priority."""

from collections.abc import Sequence
from datetime import datetime

from durex_core.store import commands
from durex_core.store.database import Database


def dispatch(database: Database, *, queues: Sequence[str], limit: int = 1000, now: datetime | None = None) -> list[str]:
    """Promote at most `limit` due commands of each queue; return the queue of each."""
    return database.transact(lambda connection: commands.dispatch(connection, queues, limit=limit, now=now))
