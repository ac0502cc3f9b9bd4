"""Find and count commands."""

from datetime import timedelta
from uuid import UUID

from durex_core import queries
from durex_core.clock import utc_now
from durex_core.errors import CommandNotFound
from durex_core.ids import is_ingested, made_at_milliseconds
from durex_core.model import Command
from durex_core.queries import Page, Query, Stats
from durex_core.rules.history import HistoryEvent, history_of
from durex_core.store import commands, finding
from durex_core.store import stats as store_stats
from durex_core.store.database import Database

_LONGEST_KEPT = timedelta(days=14)  # by SQS


def get(database: Database, command_id: UUID) -> Command:
    """Return a command, live or finished.

    Raises:
        CommandNotFound: no command has this id.
    """
    with database.autocommit() as connection:
        command = commands.get(connection, command_id)
    if command is None:
        raise CommandNotFound(command_id, may_come=may_come(command_id))
    return command


def history(database: Database, command_id: UUID) -> tuple[HistoryEvent, ...]:
    """Return what happened to a command, in order.

    Raises:
        CommandNotFound: no command has this id.
    """
    return history_of(get(database, command_id))


def may_come(command_id: UUID) -> bool:
    """Whether a command of this id may be accepted and not yet stored, as far as the id tells."""
    age = timedelta(milliseconds=utc_now().timestamp() * 1000 - made_at_milliseconds(command_id))
    return is_ingested(command_id) and abs(age) < _LONGEST_KEPT


def find(database: Database, query: Query) -> Page:
    """Return a page of commands.

    Raises:
        InvalidQuery: a part of the query was refused.
    """
    checked = queries.check(query)
    with database.autocommit() as connection:
        return finding.find(connection, checked)


def stats(database: Database, finished_within: timedelta) -> Stats:
    """Count the live commands, and those that finished lately.

    Raises:
        InvalidQuery: this is no length of time to look back.
    """
    queries.check_finished_within(finished_within)
    with database.autocommit() as connection:
        return store_stats.stats(connection, finished_within)
