"""Enqueue: check specs, store them in one transaction, wake their queues."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from durex_core import current
from durex_core.clock import utc_now
from durex_core.errors import InvalidSpec
from durex_core.ids import new_id
from durex_core.model import Enqueued, NewCommand
from durex_core.observer import Observer, told_of_failures
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.rules.outcomes import soonest
from durex_core.spec import Spec
from durex_core.store import commands
from durex_core.store.database import Database


def enqueue(
    database: Database, registry: Registry, wake: Wake, specs: Sequence[Spec], *, observers: Observer
) -> list[Enqueued]:
    """Store commands, all or none, and answer in the order of the specs.

    What a handler enqueues is a child of its command.

    Raises:
        InvalidSpec: one of the specs was refused; nothing was stored.
    """
    new = [_prepare(registry, spec, position, len(specs)) for position, spec in enumerate(specs)]
    if not new:
        return []
    with told_of_failures(observers, "enqueue"):
        enqueued = database.transact(lambda connection: commands.enqueue(connection, new))
    created = [command for command, answer in zip(new, enqueued, strict=True) if answer.created]
    if created:
        observers.enqueued(created)
        wake.ready(soonest((command.queue, _delay(command)) for command in created))
    return enqueued


def _delay(command: NewCommand) -> timedelta:
    """Return how long from now a command is due. The wall clock will do for a hint; the database's decides."""
    return max(command.run_at - utc_now(), timedelta(0)) if command.run_at else command.delay


def _with_lineage(spec: Spec) -> Spec:
    """Return a spec with the ids that are current here."""
    correlation_id, traceparent = current.correlation_id(), current.traceparent()
    if not (correlation_id or traceparent) or not isinstance(spec, Spec):
        return spec
    return replace(
        spec,
        correlation_id=correlation_id if spec.correlation_id is None else spec.correlation_id,
        traceparent=traceparent if spec.traceparent is None else spec.traceparent,
    )


def _prepare(registry: Registry, spec: Spec, position: int, count: int) -> NewCommand:
    try:
        return registry.prepare(_with_lineage(spec), new_id(), parent=current.command())
    except InvalidSpec as error:
        if count > 1:
            error.add_note(f"in spec {position} of {count}, counted from 0; none of them was stored")
        raise
