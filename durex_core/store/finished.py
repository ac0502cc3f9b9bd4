"""Finished commands: filing one that never ran, dropping what is past its time, and putting one back to run again."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from durex_core.model import Command, ErrorInfo, NewCommand, Retention, State
from durex_core.store import answers, rows
from durex_core.store.database import Connection


def file(
    connection: Connection, cancelled: Sequence[tuple[NewCommand, ErrorInfo]], *, now: datetime | None = None
) -> None:
    """Store new commands as cancelled, each with why: they were accepted, and are not to run."""
    if cancelled:
        connection.run("finished/file", rows=[rows.cancelled_row(*each) for each in cancelled], now=now)


def prune(
    connection: Connection, retention: Retention, *, keep: timedelta, limit: int, now: datetime | None = None
) -> int:
    """Drop at most `limit` commands of a class that finished longer than `keep` ago; return how many."""
    return len(connection.run(f"finished/prune_{retention}", keep_seconds=keep.total_seconds(), limit=limit, now=now))


def purge(connection: Connection, *, keep: timedelta, limit: int, now: datetime | None = None) -> int:
    """Drop at most `limit` commands that came into the dead letter queue longer than `keep` ago; return how many."""
    return len(connection.run("finished/purge", keep_seconds=keep.total_seconds(), limit=limit, now=now))


def revive(
    connection: Connection, command_id: UUID, states: Iterable[State], *, now: datetime | None = None
) -> Command | None:
    """Put a command that finished in one of these states back to run again, with a fresh budget.

    Returns None if it is in no such state, or its own deadline has passed.

    Raises:
        RowExists: a live command holds its unique key; nothing was changed.
    """
    revived = connection.run("finished/revive", make=answers.as_command, id=command_id, states=list(states), now=now)
    return revived[0] if revived else None
