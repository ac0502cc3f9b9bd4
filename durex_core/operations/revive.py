"""Retry and replay: give a finished command a new life, or spare a waiting one its wait."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from durex_core.errors import CommandNotFound, DatabaseBusy, InvalidQuery, KeyTaken, NotAllowed, RowExists
from durex_core.model import Command, State
from durex_core.operations import find
from durex_core.operations.after import After
from durex_core.queries import MAX_LIMIT, Query
from durex_core.store import commands, finished
from durex_core.store.database import Database

RETRIED = frozenset({State.FAILED, State.DEAD_LETTER, State.EXPIRED, State.CANCELLED})
REPLAYED = frozenset({State.DEAD_LETTER})
HASTENED = frozenset({State.SCHEDULED, State.REPEATING})

_TRIES = 5
_WHY_NOT = {
    State.PENDING: "it is ready already, and the next free worker takes it",
    State.STARTED: "an attempt is running; wait for its end, or cancel the command and retry it then",
    State.WAITING: "it waits for other commands to end; retry or cancel those",
    State.PAUSED: "it is paused; resume it",
    State.COMPLETED: "it completed; enqueue a new command to do the work again",
}


def retry(database: Database, after: After, command_id: UUID) -> Command:
    """Let a command run now: one that ended without completing, or one that waits for its time.

    Raises:
        CommandNotFound: no command has this id.
        NotAllowed: its state does not allow it, its deadline has passed, or its unique key is taken (KeyTaken).
    """
    for command in _looks(database, command_id):
        if command.state in HASTENED:
            after.ahead([command.queue])
            live = database.transact(lambda connection: commands.hasten(connection, command_id))
            if live:
                after.ready([live.queue])
        elif command.state in RETRIED:
            live = _revive(database, after, command, RETRIED)
        else:
            raise NotAllowed(
                f"command {command_id} is {command.state} and cannot be retried: {_WHY_NOT[command.state]}"
            )
        if live:
            return live
    raise _busy(command_id)


def replay(database: Database, after: After, command_id: UUID) -> Command:
    """Let a command out of the dead letter queue run again.

    Raises:
        CommandNotFound: no command has this id.
        NotAllowed: it is not there, its deadline has passed, or its unique key is taken (KeyTaken).
    """
    for command in _looks(database, command_id):
        if command.state not in REPLAYED:
            raise NotAllowed(f"command {command_id} is {command.state}, not in the dead letter queue; see retry")
        live = _revive(database, after, command, REPLAYED)
        if live:
            return live
    raise _busy(command_id)


def replay_dead_letters(database: Database, after: After, name: str | None, limit: int) -> list[UUID]:
    """Replay the oldest commands of the dead letter queue, and return the ids of those that could be."""
    _check_limit(limit)
    query = Query(states=(State.DEAD_LETTER,), names=(name,) if name else None, descending=False)
    replayed: list[UUID] = []
    for command in _all(database, query, limit):
        with suppress(NotAllowed, CommandNotFound):
            replayed.append(replay(database, after, command.id).id)
    return replayed


def purge_dead_letters(database: Database, after: After, older_than: timedelta, limit: int) -> int:
    """Drop the commands that came into the dead letter queue longer ago, `limit` in a transaction; return how many.

    Raises:
        InvalidQuery: this is no length of time.
    """
    if older_than < timedelta(0):
        raise InvalidQuery("older_than", f"must not be negative, not {older_than}")
    _check_limit(limit)
    dropped = 0
    while True:
        batch = database.transact(lambda connection: finished.purge(connection, keep=older_than, limit=limit))
        if not batch:
            return dropped
        after.observers.pruned(batch)
        dropped += batch


def _looks(database: Database, command_id: UUID) -> Iterator[Command]:
    """Look at a command again as often as somebody else may have been faster."""
    return (find.get(database, command_id) for _ in range(_TRIES))


def _all(database: Database, query: Query, limit: int) -> Iterator[Command]:
    """Yield at most `limit` of the commands that a query finds, page by page."""
    while limit > 0:
        page = find.find(database, replace(query, limit=min(limit, MAX_LIMIT)))
        yield from page
        if page.next_cursor is None:
            return
        limit -= len(page.commands)
        query = replace(query, cursor=page.next_cursor)


def _revive(database: Database, after: After, command: Command, states: Collection[State]) -> Command | None:
    """Put a finished command back; None: somebody was faster."""
    _refuse_duplicate(command)
    _refuse_lost_children(command)
    after.ahead([command.queue])
    try:
        revived = database.transact(lambda connection: finished.revive(connection, command.id, states))
    except RowExists:
        _refuse_taken_key(database, command)
        return None
    if revived is None:
        _refuse_passed_deadline(database, command)
        return None
    after.observers.revived(revived)
    after.ready([revived.queue])
    return revived


def _refuse_duplicate(command: Command) -> None:
    if command.is_duplicate:
        reason = command.error.message if command.error else ""
        raise NotAllowed(f"command {command.id} may not run beside the one that stands for it ({reason}); see that one")


def _refuse_lost_children(command: Command) -> None:
    if command.awaits:
        raise NotAllowed(
            f"command {command.id} ended while it waited for {command.awaits} other commands, and may not run without"
            " them; enqueue anew the command that started them"
        )
    lost = [child for child in command.children if child.state is not State.COMPLETED]
    if lost and not command.extras.allow_failures:
        raise NotAllowed(
            f"command {command.id} waited for commands of which {len(lost)} did not complete ({lost[0].name}"
            f" {lost[0].id} is {lost[0].state}), and may not run without them; enqueue a new command"
        )


def _refuse_taken_key(database: Database, command: Command) -> None:
    if command.unique_key is None:
        return
    with database.autocommit() as connection:
        holder = commands.unique_key_holders(connection, [command.unique_key]).get(command.unique_key)
    if holder and holder != command.id:
        raise KeyTaken(command.id, command.unique_key, holder)


def _refuse_passed_deadline(database: Database, command: Command) -> None:
    """Refuse a command that nobody has touched meanwhile: then it is its own deadline that stands in the way."""
    if command.deadline_at and find.get(database, command.id) == command:
        raise NotAllowed(
            f"command {command.id} had to end by {command.deadline_at.isoformat()}, which has passed; enqueue a new"
            " command with a later deadline_at"
        )


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise InvalidQuery("limit", f"must be at least 1, not {limit}")


def _busy(command_id: UUID) -> DatabaseBusy:
    return DatabaseBusy(f"command {command_id} was moved by others {_TRIES} times; try again")
