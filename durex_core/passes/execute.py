"""Execute: claim ready commands and start their attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from durex_core.execution.runner import Runner
from durex_core.store import commands
from durex_core.store.database import Database


@dataclass(frozen=True, slots=True)
class Executed:
    """What a pass did: how many attempts it started, and when the next command is due if nothing is ready now."""

    started: int
    next_due: timedelta | None


def execute(
    database: Database,
    runner: Runner,
    *,
    queues: Sequence[str],
    limit: int,
    lease: timedelta,
    worker: str,
    now: datetime | None = None,
) -> Executed:
    """Start the attempts of at most `limit` commands; they settle by themselves."""
    with database.autocommit() as connection:
        claimed = commands.claim(connection, queues, limit=limit, lease=lease, worker=worker, now=now)
        for command in claimed:
            runner.start(command)
        if len(claimed) == limit:
            return Executed(len(claimed), timedelta(0))
        return Executed(len(claimed), commands.next_due(connection, queues, now=now))
