"""Ingest: what is enqueued while the database is away is kept elsewhere, and stored once the database is back."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from durex_core.aws.ingest import IngestMessage
from durex_core.clock import monotonic_seconds, utc_now
from durex_core.errors import CommandNotFound, DatabaseBusy, DatabaseUnavailable
from durex_core.execution.commits import announced
from durex_core.ids import new_ingested_id
from durex_core.model import DUPLICATE, Accepted, Command, Enqueued, ErrorInfo, NewCommand
from durex_core.observer import Observer
from durex_core.operations import find
from durex_core.operations.enqueue import due, prepare, store
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.spec import Spec
from durex_core.store import commands, finished, keys
from durex_core.store.database import Connection, Database

_log = logging.getLogger(__name__)


class Ingest(Protocol):
    """Whoever keeps commands until the database is back."""

    def send(self, message: IngestMessage) -> bool:
        """Keep a command, and say whether it is kept.

        Raises:
            TooLargeToKeep: it is too large to be.
        """
        ...


def enqueue_or_accept(
    database: Database, registry: Registry, wake: Wake, ingest: Ingest | None, spec: Spec, *, observers: Observer
) -> Enqueued | Accepted:
    """Store a command; if the database is away or too busy, have it kept until it can be stored.

    Raises:
        InvalidSpec: a part of the spec was refused.
        DatabaseUnavailable: the database is away, and the command is not kept: nobody keeps any, or it is too large.
        DatabaseBusy: the database is busy, and the command is not kept.
    """
    new = prepare(registry, [spec])
    try:
        return store(database, wake, new, observers=observers)[0]
    except (DatabaseUnavailable, DatabaseBusy) as error:
        accepted = _accept(ingest, new[0], error) if ingest else None
        if accepted is None:
            raise
        return accepted


def look_up(database: Database, command_id: UUID) -> Command | Accepted:
    """Return a command, or that it is accepted and not yet stored.

    Raises:
        CommandNotFound: no command has this id, and none will have it.
    """
    try:
        return find.get(database, command_id)
    except CommandNotFound:
        if not find.may_come(command_id):
            raise
    with database.autocommit() as connection:
        if not keys.is_taken_once(connection, command_id):
            return Accepted(command_id)
    try:
        return find.get(database, command_id)  # stored between the two looks
    except CommandNotFound:
        raise CommandNotFound(command_id) from None  # stored and pruned


def drain(database: Database, wake: Wake, messages: Iterable[IngestMessage], *, observers: Observer) -> bool:
    """Store accepted commands, all or none; say whether it is certain that their queues will be looked at.

    One that comes again is not stored again, but its queue is woken again: whoever stored it may have been killed
    before the wake. One that turns out to be there already, by a key or by the first attempt to store it, is stored as
    cancelled and names the other.
    """
    # In the order of their acceptance: of those with the same key the first one wins.
    by_id = {message.command.id: message for message in sorted(messages, key=lambda message: message.command.id)}
    new = [_as_accepted(message) for message in by_id.values()]
    certain: list[bool] = []
    created = announced(
        lambda: certain.append(wake.ahead(due(new))),
        lambda: database.transact(lambda connection: _store(connection, new, by_id)),
        monotonic_seconds,
    )
    if created:
        observers.enqueued(created)
    wake.ready(due(new))
    return all(certain)


def _accept(ingest: Ingest, new: NewCommand, error: DatabaseUnavailable | DatabaseBusy) -> Accepted | None:
    """Have a command kept, under an id that tells so; None: it is not."""
    is_in_doubt = isinstance(error, DatabaseUnavailable) and error.is_in_doubt
    kept = replace(new, id=new_ingested_id())
    if not ingest.send(IngestMessage(kept, utc_now(), tried=new.id if is_in_doubt else None)):
        return None
    _log.warning("command %s is kept until the database is back: %s", kept.id, error)
    return Accepted(kept.id)


def _as_accepted(message: IngestMessage) -> NewCommand:
    """Return the command of a message with its delay, and whatever counts from its end, as of its acceptance."""
    command = message.command
    return replace(command, delay=timedelta(0), run_at=command.run_at or message.accepted_at + command.delay)


def _store(
    connection: Connection, new: Sequence[NewCommand], messages: Mapping[UUID, IngestMessage]
) -> list[NewCommand]:
    """Store those that were never stored before, and return those of them that are to run."""
    taken = keys.take_once(connection, messages)
    fresh = [command for command in new if command.id in taken]
    tried = {command.id: messages[command.id].tried for command in fresh}
    known = commands.known(connection, [other for other in tried.values() if other])
    others = {command_id: other for command_id, other in tried.items() if other in known and other}
    wanted = [command for command in fresh if command.id not in others]
    answers = commands.enqueue(connection, wanted)
    others |= {command.id: answer.id for command, answer in zip(wanted, answers, strict=True) if not answer.created}
    finished.file(connection, [(command, _duplicate(others[command.id])) for command in fresh if command.id in others])
    return [command for command in fresh if command.id not in others]


def _duplicate(other: UUID) -> ErrorInfo:
    return ErrorInfo(DUPLICATE, f"duplicate: command {other} stands for it")
