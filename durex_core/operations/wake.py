"""The wake as operations see it: a hint that queues have work."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from durex_core.store.database import Connection


class Wake(Protocol):
    """Whoever can tell workers that there is work; a lost hint costs time, never a command."""

    def ready(self, due: Mapping[str, timedelta]) -> None:
        """Say, after the commit, which queues have work, and how long from now."""
        ...

    def soon(self, due: Mapping[str, timedelta], connection: Connection) -> None:
        """Say the same before the caller commits a transaction of its own, or does not."""
        ...
