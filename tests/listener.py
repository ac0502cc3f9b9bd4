"""Whoever hears of what operations do."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from durex_core.model import Command
from durex_core.observer import Observer


class Listener(Observer):
    """Keeps what it hears, as an observer and as one who waits for wakes."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.woken: list[str] = []
        self.ended: list[Command] = []
        self.alive: list[Command] = []
        self.dropped = 0

    def ready(self, due: Mapping[str, timedelta]) -> None:
        """Hear a wake."""
        assert set(due.values()) == {timedelta(0)}
        self.woken += due

    def cancelled(self, commands: Sequence[Command]) -> None:
        """Hear of cancelled commands."""
        self.ended += commands

    def revived(self, command: Command) -> None:
        """Hear of a revived command."""
        self.alive.append(command)

    def pruned(self, commands: int) -> None:
        """Hear of dropped commands."""
        self.dropped += commands
