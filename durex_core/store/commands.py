"""Live commands: enqueue, claim, heartbeat, settle, put back, rescue.

Every write of a worker is fenced: it names `(id, lease_number)` and needs a live lease. A row that is missing from the
answer had lost its lease, and nothing was written for it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from durex_core.errors import DatabaseBusy
from durex_core.model import Command, Enqueued, NewCommand
from durex_core.rules.lifecycle import Settlement
from durex_core.store import keys, rows
from durex_core.store.database import Connection

Fence = tuple[UUID, int]

_PLACING_TRIES = 5


def enqueue(connection: Connection, new: Sequence[NewCommand], *, now: datetime | None = None) -> list[Enqueued]:
    """Store new commands, all or none, and say for each which command stands for it.

    A taken idempotency key, or a unique key that a live command holds, yields that command and creates nothing.
    """
    owners = keys.take(connection, new, now=now)
    fresh = [command for command in new if owners.get(command.id, command.id) == command.id]
    placed = _place(connection, fresh, now)
    keys.assign(connection, [command for command in fresh if placed[command.id] != command.id], placed)
    return [_enqueued(command.id, owners | placed, placed) for command in new]


def claim(
    connection: Connection,
    queues: Sequence[str],
    *,
    limit: int,
    lease: timedelta,
    worker: str,
    now: datetime | None = None,
) -> list[Command]:
    """Take at most `limit` ready commands of these queues under a new lease, the most urgent first."""
    claimed = connection.run(
        "commands/claim",
        queues=list(queues),
        limit=limit,
        lease_seconds=lease.total_seconds(),
        worker=worker,
        now=now,
    )
    commands = [rows.to_command(row) for row in claimed]
    return sorted(commands, key=lambda command: (-command.priority, command.ready_at, command.id))


def next_due(connection: Connection, queues: Sequence[str], *, now: datetime | None = None) -> timedelta | None:
    """Return how long until a command becomes ready by itself (0 or less: one is), or None if none will."""
    (row,) = connection.run("commands/next_due", queues=list(queues), now=now)
    return None if row["due_seconds"] is None else timedelta(seconds=row["due_seconds"])


def due_by_queue(
    connection: Connection, queues: Sequence[str], *, horizon: timedelta, now: datetime | None = None
) -> dict[str, timedelta]:
    """Return the queues that have ready work (0) or will have some within the horizon, and how long from now."""
    found = connection.run(
        "commands/due_by_queue", queues=list(queues), horizon_seconds=horizon.total_seconds(), now=now
    )
    return {row["queue"]: timedelta(seconds=row["due_seconds"]) for row in found}


def heartbeat(
    connection: Connection, held: Sequence[Command], *, lease: timedelta, now: datetime | None = None
) -> set[UUID]:
    """Extend the leases of running attempts to `lease` from now; return the ids that still hold theirs."""
    fences = [{"id": command.id, "lease_number": command.lease_number} for command in held]
    return _ids(connection.run("commands/heartbeat", rows=fences, lease_seconds=lease.total_seconds(), now=now))


def settle(connection: Connection, settlements: Sequence[Settlement], *, now: datetime | None = None) -> set[UUID]:
    """Write how attempts ended, with the children of those that did; return the ids that still held their lease."""
    finishing = [settlement for settlement in settlements if settlement.state.is_terminal]
    returning = [settlement for settlement in settlements if not settlement.state.is_terminal]
    settled: set[Fence] = set()
    if finishing:
        settled |= _fences(connection.run("commands/finish", rows=[rows.finish_row(s) for s in finishing], now=now))
    if returning:
        settled |= _fences(connection.run("commands/put_back", rows=[rows.put_back_row(s) for s in returning], now=now))
    # By fence, not by id: a zombie may report in one batch with its successor.
    children = [child for s in finishing if _fence(s.command) in settled for child in s.children]
    if children:
        enqueue(connection, children, now=now)
    return {command_id for command_id, _ in settled}


def is_one_statement(settlements: Sequence[Settlement]) -> bool:
    """Whether `settle` writes these with a single statement, which needs no transaction around it."""
    kinds = {settlement.state.is_terminal for settlement in settlements}
    return len(kinds) == 1 and not any(settlement.children for settlement in settlements)


def dispatch(connection: Connection, queues: Sequence[str], *, limit: int, now: datetime | None = None) -> list[str]:
    """Promote at most `limit` due commands of each queue; return the queue of each."""
    return _queues(connection.run("commands/dispatch", queues=list(queues), limit=limit, now=now))


def rescue(connection: Connection, *, limit: int, now: datetime | None = None) -> list[str]:
    """Take back at most `limit` leases that ran out, in any queue; return the queue of each."""
    return _queues(connection.run("commands/rescue", limit=limit, now=now))


def get(connection: Connection, command_id: UUID) -> Command | None:
    """Return a command, live or finished, or None."""
    found = connection.run("commands/get", id=command_id)
    return rows.to_command(found[0]) if found else None


def _enqueued(command_id: UUID, standing: Mapping[UUID, UUID], placed: Mapping[UUID, UUID]) -> Enqueued:
    """Follow a key to its owner, and an owner to the holder of its unique key."""
    owner = standing[command_id]
    final = placed.get(owner, owner)
    return Enqueued(final, created=final == command_id)


def _place(connection: Connection, new: Sequence[NewCommand], now: datetime | None) -> dict[UUID, UUID]:
    """Insert commands and map each id to the id that stands for it: its own, or the holder of its unique key.

    Rows go in by unique key, so that two callers with the same keys wait for each other and never deadlock.
    """
    placed: dict[UUID, UUID] = {}
    left = sorted(new, key=lambda command: command.unique_key or "")
    for _ in range(_PLACING_TRIES):
        if not left:
            return placed
        stored = _ids(connection.run("commands/enqueue", rows=[rows.new_row(command) for command in left], now=now))
        placed |= {command_id: command_id for command_id in stored}
        left = [command for command in left if command.id not in placed]
        # The holder may finish between the two statements; then the key is free and the next round takes it.
        placed |= _holders(connection, left)
        left = [command for command in left if command.id not in placed]
    if left:
        raise DatabaseBusy(f"unique_key {left[0].unique_key!r} changed hands {_PLACING_TRIES} times; try again")
    return placed


def _holders(connection: Connection, refused: Sequence[NewCommand]) -> dict[UUID, UUID]:
    if not refused:
        return {}
    wanted = sorted({command.unique_key for command in refused if command.unique_key})
    found = connection.run("commands/find_by_unique_key", unique_keys=wanted)
    holder = {row["unique_key"]: row["id"] for row in found}
    return {command.id: holder[command.unique_key] for command in refused if command.unique_key in holder}


def _ids(found: list[rows.Row]) -> set[UUID]:
    return {row["id"] for row in found}


def _fence(command: Command) -> Fence:
    return command.id, command.lease_number


def _fences(found: list[rows.Row]) -> set[Fence]:
    return {(row["id"], row["lease_number"]) for row in found}


def _queues(found: list[rows.Row]) -> list[str]:
    return [row["queue"] for row in found]
