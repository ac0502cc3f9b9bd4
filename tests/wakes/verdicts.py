"""What must be true at the end of a story, whatever happened in it."""

from collections.abc import Sequence
from uuid import UUID

from durex_core.testing.cloud import Storage
from durex_core.testing.cloud.history import children_of, faults_of


class Wrong(AssertionError):
    """A simulation did not end as it must."""


def complaints(storage: Storage, accepted: Sequence[UUID]) -> list[str]:
    """Return what is wrong with what was made of a story; `accepted` are the ids that callers were answered with."""
    return [*faults_of(storage), *_wrong_children(storage), *_wrong_answers(storage, accepted)]


def _wrong_children(storage: Storage) -> list[str]:
    """Return the parents that have other children than they asked for."""
    had = children_of(storage)
    asked = storage.read(
        "SELECT id, name, state, result, history FROM finished_commands WHERE queue = 'plan' OR name = 'second'"
    )
    return [
        f"{name} {command_id} is {state} and has {had.get(command_id, 0)} children"
        for command_id, name, state, result, history in asked
        if had.get(command_id, 0) not in _wanted_children(name, state, result, 1 + history.count("revived_at"))
    ]


# Each number is asked for once. What somebody let run again, he asked for.
_RAN_TWICE = """
SELECT payload ->> 'number' AS number FROM finished_commands
WHERE parent_id IS NULL AND state <> 'cancelled' AND number IS NOT NULL AND history NOT LIKE '%revived_at%'
GROUP BY number HAVING count(DISTINCT id) > 1
"""


def _wrong_answers(storage: Storage, accepted: Sequence[UUID]) -> list[str]:
    """Return the commands that were accepted and are nowhere, and those that ran twice under two ids."""
    finished = {row[0] for row in storage.read("SELECT id FROM finished_commands")}
    twice = storage.read(_RAN_TWICE)
    return [f"{each} was accepted and is lost" for each in accepted if str(each) not in finished] + [
        f"number {number} ran under two ids" for (number,) in twice
    ]


def _wanted_children(name: str, state: str, result: str | None, lives: int) -> range:
    """Return how many children a command may have; one that failed for good, once in each of its lives."""
    if name == "frail":
        return range(lives, lives + 1) if state == "dead_letter" else range(lives)
    if state != "completed" or name == "summarise":
        return range(1)
    if name in ("first", "second"):
        return range(2)
    return range(int(result or 0), int(result or 0) + 1)
