"""Execute: claim ready commands and start their attempts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from durex_core.model import Command
from durex_core.records import record
from durex_core.store import commands
from durex_core.store.database import Database


class Starts(Protocol):
    """Whoever runs claimed commands."""

    def start(self, commands: Sequence[Command], *, within: timedelta | None = None) -> None:
        """Begin attempts, which settle by themselves; `within` bounds them further than their own timeouts do."""
        ...


@record
class Executed:
    """How many attempts were started, and what was left: see `store.commands.Claimed`."""

    started: int
    is_more: bool
    due_in: timedelta | None


def execute(
    database: Database,
    runner: Starts,
    *,
    queues: Sequence[str],
    limit: int,
    lease: timedelta,
    worker: str,
    within: timedelta | None = None,
    at_once: int | None = None,
    now: datetime | None = None,
) -> Executed:
    """Start the attempts of at most `limit` commands, which settle by themselves; return how many, and what is left.

    `within` bounds attempts further than their own timeouts do. More than `at_once` are claimed ahead: they may have to
    wait for their turn.
    """
    with database.autocommit() as connection:
        claimed = commands.claim(connection, queues, limit=limit, lease=lease, worker=worker, at_once=at_once, now=now)
    runner.start(claimed.commands, within=within)
    return Executed(len(claimed.commands), claimed.is_more, claimed.due_in)
