"""What follows the commit of an operation: wakes, and news for observers."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from durex_core.observer import Observers
from durex_core.operations.wake import Wake

_NOW = timedelta(0)


@dataclass(frozen=True, slots=True)
class After:
    """Whom an application tells of what it did."""

    wake: Wake
    observers: Observers

    def ready(self, queues: Iterable[str]) -> None:
        """Wake queues that have work now."""
        due = dict.fromkeys(queues, _NOW)
        if due:
            self.wake.ready(due)
