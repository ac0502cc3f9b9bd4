"""Children of a command that waits for them: claiming them and letting them end."""

from uuid import UUID

from virtual_store import VirtualStore

from durex_core.model import Command, NewCommand
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Outcome


def claim(store: VirtualStore, new: NewCommand) -> Command:
    """Claim a command and leave the others."""
    (claimed,) = [command for command in store.claim("children", limit=100) if command.id == new.id]
    return claimed


def claim_all(store: VirtualStore) -> dict[UUID, Command]:
    """Claim whatever child is ready."""
    return {command.id: command for command in store.claim("children", limit=100)}


def end(store: VirtualStore, *outcomes: tuple[Command, Outcome]) -> list[str]:
    """End attempts in one transaction; return the queues that were woken."""
    settled = store.end(*(decide(attempt, outcome, 0.5) for attempt, outcome in outcomes))
    assert not settled.lost
    return settled.woken
