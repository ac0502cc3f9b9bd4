"""Enqueue: check specs, store them in one transaction, wake their queues."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from durex_core import current
from durex_core.clock import monotonic_seconds, utc_now
from durex_core.errors import InvalidSpec
from durex_core.execution.commits import announced
from durex_core.ids import new_ids
from durex_core.model import Enqueued, NewCommand
from durex_core.observer import Observer, Observers, told_of_failures
from durex_core.operations import bulk
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.rules.wakes import Due, due_by_queue
from durex_core.spec import Spec
from durex_core.store import commands
from durex_core.store.database import Database

_Lineage = tuple[str | None, str | None]


def enqueue(
    database: Database,
    registry: Registry,
    wake: Wake,
    specs: Sequence[Spec],
    *,
    observers: Observers,
    connection: Any = None,
) -> list[Enqueued]:
    """Store commands, all or none, and answer in the order of the specs.

    What a handler enqueues is a child of its command. Wakes and alarms are on their way before the commit: who crashes
    right after it leaves no command alone. With a connection of the caller's the commands are stored in its
    transaction; observers do not hear of them, since nobody here knows whether it commits.

    Raises:
        InvalidSpec: one of the specs was refused; nothing was stored.
    """
    if connection is None and bulk.suits(database, registry, specs, observers):
        return bulk.enqueue(database, registry, wake, specs)
    new = prepare(registry, specs)
    if not new:
        return []
    if connection is None:
        return store(database, wake, new, observers=observers)
    with told_of_failures(observers, "enqueue"):
        return _join(database, wake, new, connection)


def prepare(registry: Registry, specs: Sequence[Spec]) -> list[NewCommand]:
    """Check specs, and complete each with the defaults of its handler and a new id.

    Raises:
        InvalidSpec: one of the specs was refused.
    """
    lineage, parent = _lineage(), current.command()
    new: list[NewCommand] = []
    try:
        for spec, command_id in zip(specs, new_ids(len(specs)), strict=True):
            new.append(registry.prepare(_within(lineage, spec), command_id, parent=parent))
    except InvalidSpec as error:
        if len(specs) > 1:
            error.add_note(f"in spec {len(new)} of {len(specs)}, counted from 0; none of them was stored")
        raise
    return new


def store(database: Database, wake: Wake, new: Sequence[NewCommand], *, observers: Observer) -> list[Enqueued]:
    """Store commands that are prepared, all or none, and answer in their order."""
    with told_of_failures(observers, "enqueue"):
        enqueued, is_told = announced(lambda: wake.ahead(due(new)), lambda: _commit(database, new), monotonic_seconds)
    created = _created(new, enqueued)
    if created:
        observers.enqueued(created)
        wake.ready(due(created, is_told=is_told))
    return enqueued


def due(new: Sequence[NewCommand], *, is_told: bool = False) -> dict[str, Due]:
    """Return when each queue has work of these commands first, and how much of it."""
    if len(new) == 1:
        return {new[0].queue: Due(_delay(new[0]), is_told=is_told)}
    return due_by_queue((command.queue, _delay(command)) for command in new)


def _commit(database: Database, new: Sequence[NewCommand]) -> tuple[list[Enqueued], bool]:
    """Store commands, and say whether the commit itself told the workers of other processes."""
    if len(new) > 1 or new[0].idempotency_key:
        return database.transact(lambda own: commands.enqueue(own, new)), False
    enqueued, is_told = database.transact(
        lambda own: commands.enqueue_one(own, new[0], pokes=database.is_listened_to), is_one_statement=True
    )
    return [enqueued], is_told


def _join(database: Database, wake: Wake, new: Sequence[NewCommand], connection: Any) -> list[Enqueued]:
    """Store commands in a transaction of the caller's, and say that there will be work when it commits."""
    with database.joined(connection) as joined:
        enqueued = commands.enqueue(joined, new)
        created = _created(new, enqueued)
        if created:
            wake.soon(due(created), joined)
    return enqueued


def _created(new: Sequence[NewCommand], enqueued: Sequence[Enqueued]) -> list[NewCommand]:
    return [command for command, answer in zip(new, enqueued, strict=True) if answer.created]


def _delay(command: NewCommand) -> timedelta:
    """Return how long from now a command is due. The wall clock will do for a hint; the database's decides."""
    return command.delay if command.run_at is None else max(command.run_at - utc_now(), timedelta(0))


def _lineage() -> _Lineage:
    """Return the ids that are current here: those of the business, and of the trace."""
    return current.correlation_id(), current.traceparent()


def _within(lineage: _Lineage, spec: Spec) -> Spec:
    """Return a spec with these ids, unless it has its own."""
    correlation_id, traceparent = lineage
    if not (correlation_id or traceparent) or not isinstance(spec, Spec):
        return spec
    return replace(
        spec,
        correlation_id=correlation_id if spec.correlation_id is None else spec.correlation_id,
        traceparent=traceparent if spec.traceparent is None else spec.traceparent,
    )
