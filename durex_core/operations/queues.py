"""Queues: waking those who work on one, for whoever stored commands without telling anybody."""

from durex_core.errors import UnknownQueue, WakeNotSent
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.rules.wakes import Due


def wake_workers(registry: Registry, wake: Wake, queue: str) -> None:
    """Tell the workers of a queue that it may have work. The database is not asked, so that none that sleeps wakes up.

    Raises:
        UnknownQueue: no command of the application uses the queue.
        WakeNotSent: they could not be told.
    """
    if queue not in registry.queues:
        raise UnknownQueue(queue, registry.queues)
    due = {queue: Due()}
    wake.ahead(due)
    if not wake.ready(due):
        raise WakeNotSent(queue)
