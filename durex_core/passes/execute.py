"""Execute: claim ready commands and start their attempts."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from durex_core.execution.runner import Runner
from durex_core.store import commands
from durex_core.store.database import Database


def execute(
    database: Database,
    runner: Runner,
    *,
    queues: Sequence[str],
    limit: int,
    lease: timedelta,
    worker: str,
    within: timedelta | None = None,
    now: datetime | None = None,
) -> int:
    """Start the attempts of at most `limit` commands, which settle by themselves; return how many.

    As many as the limit means that there may be more. `within` bounds attempts further than their own timeouts do.
    """
    with database.autocommit() as connection:
        claimed = commands.claim(connection, queues, limit=limit, lease=lease, worker=worker, now=now)
    for command in claimed:
        runner.start(command, within=within)
    return len(claimed)
