"""Cancel commands: one by its id, or all live ones that a query finds."""

from collections.abc import Callable
from functools import partial
from typing import Annotated
from uuid import UUID

from pydantic import ValidationError

from durex_core import queries
from durex_core.errors import DatabaseBusy, InvalidQuery, NotAllowed
from durex_core.fields import Field, adapter
from durex_core.model import Command, State
from durex_core.operations import find
from durex_core.operations.after import After
from durex_core.queries import Query
from durex_core.registry import is_permanent
from durex_core.store import commands, finding
from durex_core.store.database import Connection, Database

Cancelled = tuple[list[Command], list[str]]

MAX_REASON = 1000
_DEFAULT_REASON = "somebody cancelled it"
_AT_ONCE = 500
_TRIES = 5

# Control characters are refused, but for line breaks and tabs; so are lone surrogates, which no database can hold.
_Reason = Annotated[
    str, Field(pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$", min_length=1, max_length=MAX_REASON, strict=True)
]


def cancel(database: Database, after: After, command_id: UUID, reason: str | None) -> Command:
    """Cancel a live command, a running one too, and return it as it ended.

    Raises:
        CommandNotFound: no command has this id.
        NotAllowed: it has ended already.
        InvalidQuery: the reason is no text to keep.
    """
    why = _checked_reason(reason)
    for _ in range(_TRIES):
        cancelled = _cancel(database, after, lambda connection: commands.cancel(connection, [command_id], why))
        if cancelled:
            return cancelled[0]
        _refuse_ended(find.get(database, command_id))
    raise DatabaseBusy(f"command {command_id} came back to life {_TRIES} times while it was cancelled; try again")


def cancel_many(database: Database, after: After, query: Query, reason: str | None) -> list[UUID]:
    """Cancel the live commands that a query finds, in transactions of 500; return their ids.

    Raises:
        InvalidQuery: a part of the query was refused, or nothing narrows it.
    """
    why, wanted = _checked_reason(reason), _checked_query(query)
    cancelled: list[UUID] = []
    while True:
        last = cancelled[-1] if cancelled else None
        batch = _cancel(database, after, partial(_cancel_batch, query=wanted, reason=why, last=last))
        if not batch:
            return cancelled
        cancelled += sorted(command.id for command in batch)


def _cancel(database: Database, after: After, work: Callable[[Connection], Cancelled]) -> list[Command]:
    def work_and_tell(connection: Connection) -> Cancelled:
        cancelled, woken = work(connection)
        after.ahead(woken)
        return cancelled, woken

    cancelled, woken = database.transact(work_and_tell)
    if cancelled:
        after.observers.cancelled(cancelled)
    # Workers see to it that what is always to be there comes back.
    after.ready([*woken, *(command.queue for command in cancelled if is_permanent(command))])
    return cancelled


def _cancel_batch(connection: Connection, *, query: Query, reason: str, last: UUID | None) -> Cancelled:
    ids = finding.lock_live(connection, query, after=last, limit=_AT_ONCE)
    return commands.cancel(connection, ids, reason) if ids else ([], [])


def _checked_query(query: Query) -> Query:
    checked = queries.check(query)
    if not checked.is_narrowed:
        raise InvalidQuery("query", "narrow it by at least one filter, such as a tag; all commands are never meant")
    finished = [state for state in checked.states or () if state.is_terminal]
    if finished:
        live = ", ".join(state for state in State if not state.is_terminal)
        raise InvalidQuery("states", f"{finished[0]!s} commands have ended and cannot be cancelled; there are {live}")
    return checked


def _checked_reason(reason: str | None) -> str:
    if reason is None:
        return _DEFAULT_REASON
    try:
        return str(adapter(_Reason).validate_python(reason))
    except ValidationError as error:
        raise InvalidQuery("reason", f"{error.errors()[0]['msg']}, not {reason!r:.100}") from None


def _refuse_ended(command: Command) -> None:
    if command.state.is_terminal:
        raise NotAllowed(f"command {command.id} is {command.state} already; only live commands can be cancelled")
