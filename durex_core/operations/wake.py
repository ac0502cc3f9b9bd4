"""The wake as operations see it: a hint that queues have work."""

from collections.abc import Collection
from typing import Protocol


class Wake(Protocol):
    """Whoever can tell workers that there is work; a lost hint costs time, never a command."""

    def ready(self, queues: Collection[str]) -> None:
        """Say that these queues have work, after its commit."""
        ...
