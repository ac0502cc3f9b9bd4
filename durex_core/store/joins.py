"""Joins: commands that wait for others to end.

Each end is counted in the transaction that makes it; the last one hands the waiting command all of them.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from durex_core.store.database import Connection
from durex_core.store.rows import Row


def arrive(connection: Connection, arrivals: Sequence[Row], *, now: datetime | None = None) -> list[str]:
    """Tell waiting commands how others ended; return the queues of those that wait for nothing more.

    Each command that arrives does so once: its row left the live ones in this transaction.
    """
    if not arrivals:
        return []
    arrived = Counter(row["command_id"] for row in connection.run("joins/arrive", rows=list(arrivals)))
    counts = [{"command_id": command_id, "arrived": number} for command_id, number in arrived.items()]
    counted = connection.run("joins/count", rows=counts, now=now) if counts else []
    complete = [row for row in counted if row["awaits"] == 0]
    if complete:
        connection.run("joins/gather", ids=[row["id"] for row in complete])
    return [row["queue"] for row in complete]


def prune(connection: Connection, *, limit: int) -> int:
    """Drop at most `limit` rows of commands that wait no longer, such as cancelled ones; return how many."""
    return len(connection.run("joins/prune", limit=limit))
