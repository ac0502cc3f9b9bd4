"""Enqueue: check specs, store them in one transaction, wake their queues."""

from collections.abc import Sequence

from durex_core.errors import InvalidSpec
from durex_core.ids import new_id
from durex_core.model import Enqueued, NewCommand, Spec
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.rules.lifecycle import soonest
from durex_core.store import commands
from durex_core.store.database import Database


def enqueue(database: Database, registry: Registry, wake: Wake, specs: Sequence[Spec]) -> list[Enqueued]:
    """Store commands, all or none, and answer in the order of the specs.

    Raises:
        InvalidSpec: one of the specs was refused; nothing was stored.
    """
    new = [_prepare(registry, spec, position, len(specs)) for position, spec in enumerate(specs)]
    if not new:
        return []
    enqueued = database.transact(lambda connection: commands.enqueue(connection, new))
    created = [command for command, answer in zip(new, enqueued, strict=True) if answer.created]
    if created:
        wake.ready(soonest((command.queue, command.delay) for command in created))
    return enqueued


def _prepare(registry: Registry, spec: Spec, position: int, count: int) -> NewCommand:
    try:
        return registry.prepare(spec, new_id())
    except InvalidSpec as error:
        if count > 1:
            error.add_note(f"in spec {position} of {count}, counted from 0; none of them was stored")
        raise
