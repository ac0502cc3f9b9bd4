"""Bulk enqueue: many specs that are names and payloads and nothing else, prepared while the database stores them.

They are prepared a block at a time, and what is done in a block is done for all of it at once: a call for each of them
would take longer than the database does.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from operator import attrgetter

from durex_core import current
from durex_core.clock import monotonic_seconds
from durex_core.collector import calm_collector
from durex_core.errors import InvalidSpec
from durex_core.execution.commits import announced
from durex_core.handlers.options import are_bare
from durex_core.ids import new_id, new_ids
from durex_core.model import Enqueued, NewCommand
from durex_core.observer import Observers
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.rules.wakes import Due
from durex_core.spec import Spec
from durex_core.store import bulk
from durex_core.store.database import Connection, Database

_BLOCK = 250
_FIRST_BLOCK = 50
_BLOCK_BYTES = 1024 * 1024
_name = attrgetter("name")


def suits(database: Database, registry: Registry, specs: Sequence[Spec], observers: Observers) -> bool:
    """Whether specs can be stored so: there are many, nobody wants to hear of each, and nothing is current here."""
    if len(specs) < bulk.LEAST or database.dialect != "postgres" or observers.is_heard("enqueued"):
        return False
    is_bound = current.correlation_id() or current.traceparent()
    return not is_bound and are_bare(specs) and set(map(_name, specs)) <= set(registry.names)


def enqueue(database: Database, registry: Registry, wake: Wake, specs: Sequence[Spec]) -> list[Enqueued]:
    """Store commands, all or none, and answer in the order of the specs.

    Raises:
        InvalidSpec: one of the payloads was refused; nothing was stored.
    """
    counts = Counter(map(_name, specs))
    templates = {template.name: template for template in registry.templates if template.name in counts}
    due = _due(templates, counts)

    def store(connection: Connection) -> list[Enqueued]:
        enqueued: list[Enqueued] = []
        bulk.copy_alike(connection, templates, _blocks(registry, specs, enqueued))
        return enqueued

    with calm_collector():
        enqueued = announced(lambda: wake.ahead(due), lambda: database.transact(store), monotonic_seconds)
    wake.ready(due)
    return enqueued


def _due(templates: Mapping[str, NewCommand], counts: Mapping[str, int]) -> dict[str, Due]:
    """Return how many commands each queue is given; unless somebody says otherwise, they are due now."""
    by_queue: Counter[str] = Counter()
    for name, count in counts.items():
        by_queue[templates[name].queue] += count
    return {queue: Due(count=count) for queue, count in by_queue.items()}


def _blocks(registry: Registry, specs: Sequence[Spec], enqueued: list[Enqueued]) -> Iterator[bulk.Block]:
    """Yield the names, the ids and the payloads of the commands, and note their answers."""
    at, count = 0, _FIRST_BLOCK
    while some := specs[at : at + count]:
        try:
            texts = registry.payload_texts(some)
        except InvalidSpec:
            _refuse(registry, specs, at, count)
            raise
        ids = new_ids(len(some))
        yield map(_name, some), ids, texts
        enqueued += map(Enqueued, ids, repeat(object=True))
        at += count
        # By the bytes of this one, so that a block of large payloads is not held in memory several times.
        count = max(1, min(_BLOCK, _BLOCK_BYTES * len(some) // sum(map(len, texts))))


def _refuse(registry: Registry, specs: Sequence[Spec], at: int, count: int) -> None:
    """Refuse the first of a block's specs that is at fault, with all that there is to say of it."""
    for place, spec in enumerate(specs[at : at + count], at):
        try:
            registry.prepare(spec, new_id())
        except InvalidSpec as error:
            error.add_note(f"in spec {place} of {len(specs)}, counted from 0; none of them was stored")
            raise
