"""Statistics: how many commands of each queue are in each state."""

from datetime import datetime, timedelta

from durex_core.model import State
from durex_core.queries import QueueStats, Stats
from durex_core.store.database import Connection
from durex_core.store.rows import Row


def stats(connection: Connection, finished_within: timedelta, *, now: datetime | None = None) -> Stats:
    """Count the live commands, and those that finished lately, by queue and state."""
    live = connection.run("commands/count", now=now)
    seconds = finished_within.total_seconds()
    finished = connection.run("finished/count", within_seconds=seconds, now=now) if seconds else []
    queues = sorted({row["queue"] for row in live + finished})
    return Stats(tuple(_queue(queue, live, finished) for queue in queues), finished_within)


def _queue(queue: str, live: list[Row], finished: list[Row]) -> QueueStats:
    own = [row for row in live if row["queue"] == queue]
    ages = [row["oldest_seconds"] for row in own if row["oldest_seconds"] is not None]
    return QueueStats(
        queue,
        live={State(row["state"]): row["commands"] for row in own},
        finished={State(row["state"]): row["commands"] for row in finished if row["queue"] == queue},
        ready=sum(row["ready"] for row in own),
        oldest_ready_age=timedelta(seconds=max(0.0, *ages)) if ages else None,
    )
