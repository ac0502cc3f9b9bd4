"""Keys: what makes a request that is sent twice yield one command.

A key outlives its command and every redelivery of the request that carried it (SQS keeps a message 14 days at most).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from durex_core.model import NewCommand
from durex_core.store.database import Connection, Row

KEEP = timedelta(days=15)
"""How long a key is held."""

_INGEST = "ingest"


def take(connection: Connection, new: Sequence[NewCommand], *, now: datetime | None = None) -> dict[UUID, UUID]:
    """Take the idempotency keys of new commands; map the id of each that has one to the id that holds the key."""
    wanted = {_scoped(command): command for command in reversed(new) if command.idempotency_key}
    if not wanted:
        return {}
    held = connection.run(
        "keys/take",
        rows=[_row(command, command.id) for command in wanted.values()],
        keep_seconds=KEEP.total_seconds(),
        now=now,
    )
    holder = {(row["scope"], row["key"]): row["command_id"] for row in held}
    return {command.id: holder[_scoped(command)] for command in new if command.idempotency_key}


def assign(connection: Connection, new: Sequence[NewCommand], holders: Mapping[UUID, UUID]) -> None:
    """Point the keys that these commands took at the commands that stand for them."""
    moved = [_row(command, holders[command.id]) for command in new if command.idempotency_key]
    if moved:
        connection.run("keys/assign", rows=moved)


def take_once(connection: Connection, ids: Iterable[UUID], *, now: datetime | None = None) -> set[UUID]:
    """Take the ids of ingested commands, as keys, and return those that were never taken before.

    Whoever takes the same one in another transaction waits for the end of this one.
    """
    wanted = [{"scope": _INGEST, "key": str(command_id), "command_id": command_id} for command_id in ids]
    taken = connection.run("keys/take_once", rows=wanted, keep_seconds=KEEP.total_seconds(), now=now)
    return {row["command_id"] for row in taken}


def is_taken_once(connection: Connection, command_id: UUID) -> bool:
    """Say whether the id of an ingested command was taken: whether it was stored."""
    return bool(connection.run("keys/find", scope=_INGEST, key=str(command_id)))


def prune(connection: Connection, *, limit: int, now: datetime | None = None) -> int:
    """Drop at most `limit` keys past their time; return how many."""
    return len(connection.run("keys/prune", limit=limit, now=now))


def _scoped(command: NewCommand) -> tuple[str, str]:
    """Return the scope and the key: an idempotency key belongs to a command name."""
    return f"idempotency:{command.name}", command.idempotency_key or ""


def _row(command: NewCommand, holder: UUID) -> Row:
    scope, key = _scoped(command)
    return {"scope": scope, "key": key, "command_id": holder}
