"""The wake as operations see it: a hint that queues have work."""

from collections.abc import Mapping
from typing import Protocol

from durex_core.rules.wakes import Due
from durex_core.store.database import Connection


class Wake(Protocol):
    """Whoever can tell workers that there is work; a lost hint costs time, never a command.

    What is to be told of a commit is told twice: `ahead` of it, so that a crash right after the commit leaves no
    command alone, and once it is `ready`.
    """

    def ahead(self, due: Mapping[str, Due]) -> bool:
        """See to it, before a commit, that these queues are looked at when their work is due, or shortly after.

        Says whether that is certain. A queue that is looked at in vain does no harm.
        """
        ...

    def ready(self, due: Mapping[str, Due]) -> bool:
        """Say, after the commit, which queues have work; say whether all were told that have some now."""
        ...

    def soon(self, due: Mapping[str, Due], connection: Connection) -> bool:
        """Do both before the caller commits a transaction of its own, or does not."""
        ...
