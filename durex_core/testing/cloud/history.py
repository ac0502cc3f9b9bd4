"""What must be true of the changes of state that were made: each by the one who held the lease, each once."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from durex_core.model import State
from durex_core.rules.lifecycle import TRANSITIONS
from durex_core.store import rows
from durex_core.testing.cloud.storage import Change, Storage
from durex_core.testing.cloud.world import World

_OF_WORKERS = frozenset({"commands/finish", "commands/put_back", "commands/repeat"})

Rows = list[dict[str, Any]]


class Fences:
    """Sees to it that no attempt's end is written by anybody but who holds the lease."""

    def __init__(self, storage: Storage, world: World) -> None:
        """Watch a store."""
        self._storage = storage
        self._world = world

    def around(self, statement: str, parameters: dict[str, Any], run: Callable[[], Rows]) -> Rows:
        """Run a statement of a process and look at what it did."""
        if statement not in _OF_WORKERS:
            return run()
        before = self._storage.steps
        found = run()
        told = parameters["rows"]
        told = told.by_row() if isinstance(told, rows.Columns) else told
        claims = {(str(row["id"]), row["lease_number"]) for row in told}
        now = rows.to_microseconds(self._world.now)
        for command_id, lease, lease_end, became in self._storage.left_started(before):
            if (command_id, lease) not in claims:
                self._world.fail(f"a worker without the lease {lease} of command {command_id} made it {became}")
            elif lease_end <= now:
                self._world.fail(f"lease {lease} of command {command_id} had ended when its worker made it {became}")
        return found


def faults_of(storage: Storage) -> list[str]:
    """Return what is wrong with the changes that were made in a store, in the order of the commands."""
    by_command: defaultdict[str, list[Change]] = defaultdict(list)
    for change in storage.journal():
        by_command[change.id].append(change)
    return [wrong for command_id, changes in by_command.items() for wrong in _wrong(command_id, changes)] + [
        f"command {command_id} had {attempt} attempts of {retries + 1}"
        for command_id, attempt, retries in storage.read(
            "SELECT id, attempt, retries FROM commands WHERE attempt > retries + 1"
            " UNION ALL SELECT id, attempt, retries FROM finished_commands WHERE attempt > retries + 1"
        )
    ]


def children_of(storage: Storage) -> dict[str, int]:
    """Return how many children each command had that had any."""
    counts: defaultdict[str, int] = defaultdict(int)
    for change in storage.journal():
        if change.was is None and change.parent is not None:
            counts[change.parent] += 1
    return dict(counts)


def _wrong(command_id: str, changes: list[Change]) -> Iterator[str]:
    state: str | None = None
    lease = 0
    for change in changes:
        if change.was is not None and change.became is not None and change.was != state:
            yield f"command {command_id} was {state}, and left {change.was}"
        if not _is_allowed(change, state):
            yield f"command {command_id} was {state} and became {change.became}"
        if change.next_lease < lease or (change.became == "started" and change.next_lease != lease + 1):
            yield f"command {command_id} had the lease {lease} and then {change.next_lease}"
        lease = change.next_lease
        # A finished row that goes was pruned, or its command is live again.
        state = change.became or state


def _is_allowed(change: Change, state: str | None) -> bool:
    if change.became is None:
        return change.was is not None and State(change.was).is_terminal
    return State(change.became) in TRANSITIONS.get(State(state) if state else None, frozenset())
