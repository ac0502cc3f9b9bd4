"""What goes with the commit of an operation: wakes, and news for observers."""

from collections.abc import Iterable

from durex_core.observer import Observers
from durex_core.operations.wake import Wake
from durex_core.records import record
from durex_core.rules.wakes import Due


@record
class After:
    """Whom an application tells of what it did."""

    wake: Wake
    observers: Observers

    def ahead(self, queues: Iterable[str]) -> None:
        """See to it, before a commit, that queues are looked at which will have work then."""
        due = dict.fromkeys(queues, Due())
        if due:
            self.wake.ahead(due)

    def ready(self, queues: Iterable[str]) -> None:
        """Wake queues that have work now."""
        due = dict.fromkeys(queues, Due())
        if due:
            self.wake.ready(due)
