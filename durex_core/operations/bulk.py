"""Bulk enqueue: many specs that are names and payloads and nothing else, prepared while the database stores them.

Nothing but an id, some JSON and an answer is made for each, and no more than a block of them is under way at a time.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from operator import attrgetter
from uuid import UUID

from durex_core import current
from durex_core.clock import monotonic_seconds
from durex_core.errors import InvalidSpec
from durex_core.execution.commits import announced
from durex_core.handlers.options import is_bare
from durex_core.ids import new_ids
from durex_core.model import Enqueued
from durex_core.observer import Observer
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.rules.wakes import due_by_queue
from durex_core.spec import Spec
from durex_core.store import bulk
from durex_core.store.database import Connection, Database

_IDS_AT_ONCE = 1000
_NOW = timedelta(0)
_name = attrgetter("name")


def suits(database: Database, registry: Registry, specs: Sequence[Spec], observers: Observer) -> bool:
    """Whether specs can be stored so: there are many, nobody wants to hear of each, and nothing is current here."""
    if len(specs) < bulk.LEAST or database.dialect != "postgres" or observers:
        return False
    is_bound = current.correlation_id() or current.traceparent()
    return not is_bound and all(map(is_bare, specs)) and set(map(_name, specs)) <= set(registry.names)


def enqueue(database: Database, registry: Registry, wake: Wake, specs: Sequence[Spec]) -> list[Enqueued]:
    """Store commands, all or none, and answer in the order of the specs.

    Raises:
        InvalidSpec: one of the payloads was refused; nothing was stored.
    """
    templates = {template.name: template for template in registry.templates}
    due = due_by_queue((templates[name].queue, _NOW) for name in map(_name, specs))

    def store(connection: Connection) -> list[Enqueued]:
        enqueued: list[Enqueued] = []
        bulk.copy_alike(connection, templates, _prepared(registry, specs, enqueued))
        return enqueued

    enqueued = announced(lambda: wake.ahead(due), lambda: database.transact(store), monotonic_seconds)
    wake.ready(due)
    return enqueued


def _prepared(
    registry: Registry, specs: Sequence[Spec], enqueued: list[Enqueued]
) -> Iterator[tuple[str, UUID, str | None]]:
    """Yield the name, the id and the payload of each command, and note its answer."""
    try:
        for at in range(0, len(specs), _IDS_AT_ONCE):
            some = specs[at : at + _IDS_AT_ONCE]
            for spec, command_id in zip(some, new_ids(len(some)), strict=True):
                yield spec.name, command_id, registry.payload_text(spec)
                enqueued.append(Enqueued(command_id, created=True))
    except InvalidSpec as error:
        error.add_note(f"in spec {len(enqueued)} of {len(specs)}, counted from 0; none of them was stored")
        raise
