"""Rescue: take back the leases of workers that vanished, so that their commands can be claimed anew."""

from datetime import datetime

from durex_core.store import commands
from durex_core.store.database import Database


def rescue(database: Database, *, limit: int = 1000, now: datetime | None = None) -> list[str]:
    """Take back at most `limit` leases that ran out; return the queue of each command."""
    return database.transact(lambda connection: commands.rescue(connection, limit=limit, now=now))
