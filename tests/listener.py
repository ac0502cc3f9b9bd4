"""Whoever hears of what operations do."""

from collections.abc import Mapping, Sequence

from durex_core.model import Command
from durex_core.observer import Observer
from durex_core.rules.wakes import Due
from durex_core.store.database import Connection


class Listener(Observer):
    """Keeps what it hears, as an observer and as one who waits for wakes."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.promised: list[str] = []
        self.woken: list[str] = []
        self.ended: list[Command] = []
        self.alive: list[Command] = []
        self.dropped = 0

    def ahead(self, due: Mapping[str, Due]) -> bool:
        """Hear that there will be work."""
        assert set(due.values()) == {Due()}
        self.promised += due
        return True

    def ready(self, due: Mapping[str, Due]) -> bool:
        """Hear a wake, of which there was word before the commit."""
        assert set(due.values()) == {Due()}
        assert set(due) <= set(self.promised)
        self.woken += due
        return True

    def soon(self, due: Mapping[str, Due], connection: Connection) -> bool:
        """Hear of work in a transaction of the caller's, which no operation on commands joins."""
        raise AssertionError((due, connection))

    def cancelled(self, commands: Sequence[Command]) -> None:
        """Hear of cancelled commands."""
        self.ended += commands

    def revived(self, command: Command) -> None:
        """Hear of a revived command."""
        self.alive.append(command)

    def pruned(self, commands: int) -> None:
        """Hear of dropped commands."""
        self.dropped += commands
