"""The wake as operations see it: a hint that queues have work."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol


class Wake(Protocol):
    """Whoever can tell workers that there is work; a lost hint costs time, never a command."""

    def ready(self, due: Mapping[str, timedelta]) -> None:
        """Say, after the commit, which queues have work, and how long from now."""
        ...
