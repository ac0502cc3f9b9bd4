"""Live commands: enqueue, claim, heartbeat, note, settle, cancel, dispatch, rescue.

Every write of a worker is fenced: it names `(id, lease_number)` and needs a live lease. A row that is missing from the
answer had lost its lease, and nothing was written for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from durex_core.errors import DatabaseBusy
from durex_core.model import Command, Compensation, Enqueued, ErrorInfo, NewCommand
from durex_core.records import record
from durex_core.rules.outcomes import Settlement
from durex_core.store import answers, bulk, joins, keys, rows
from durex_core.store.database import Connection, as_tuple, as_whole

Fence = tuple[UUID, int]

_PLACING_TRIES = 5
_INSERTED_AT_ONCE = 5000
"""As many commands as a document holds at most, which is in memory three times."""


@record
class Settled:
    """What came of `settle`: the fences that did not hold, and the queues in which waiting commands became ready."""

    lost: set[Fence]
    woken: list[str]


@record
class Claimed:
    """What `claim` took, and what it left.

    `is_more` says whether more is ready now, and `due_in` how long until another command of these queues becomes ready
    by itself (None: none will). What others are claiming at the same time is left to them, and so are their leases.
    """

    commands: list[Command]
    is_more: bool
    due_in: timedelta | None


def fence(command: Command) -> Fence:
    """Return what tells a claim of a command from others."""
    return command.id, command.lease_number


def enqueue(connection: Connection, new: Sequence[NewCommand], *, now: datetime | None = None) -> list[Enqueued]:
    """Store new commands, all or none, and say for each which command stands for it.

    A taken idempotency key, or a unique key that a live command holds, yields that command and creates nothing.
    """
    owners = keys.take(connection, new, now=now)
    fresh = [command for command in new if owners.get(command.id, command.id) == command.id] if owners else new
    holders = _place(connection, fresh, now)
    keys.assign(connection, [command for command in fresh if command.id in holders], holders)
    if not (owners or holders):
        return [Enqueued(command.id, created=True) for command in new]
    return [_enqueued(command.id, owners, holders) for command in new]


def enqueue_one(
    connection: Connection, command: NewCommand, *, pokes: bool = False, now: datetime | None = None
) -> tuple[Enqueued, bool]:
    """Store a new command without an idempotency key; each statement may commit by itself, and the last one counts.

    With `pokes` that commit pokes the workers of other processes, unless another one that pokes is under way; returns
    what `enqueue` does, and whether it poked.
    """
    for _ in range(_PLACING_TRIES):
        stored = connection.run("commands/enqueue_one", **rows.one_new_row(command), pokes=pokes, now=now)
        if stored:
            return Enqueued(command.id, created=True), bool(stored[0]["is_told"])
        for holder in _holders(connection, [command]).values():
            return Enqueued(holder, created=False), False
    raise _busy(command)


def claim(
    connection: Connection,
    queues: Sequence[str],
    *,
    limit: int,
    lease: timedelta,
    worker: str,
    at_once: int | None = None,
    now: datetime | None = None,
) -> Claimed:
    """Take at most `limit` ready commands of these queues under a new lease, the most urgent first.

    If they are more than can begin `at_once` (default: all can), they are claimed ahead: should the worker vanish,
    nobody knows which of them had begun.
    """
    parts = connection.run(
        "commands/claim",
        make=as_whole,
        queues=list(queues),
        limit=limit,
        lease_seconds=lease.total_seconds(),
        worker=worker,
        at_once=limit if at_once is None else at_once,
        now=now,
    )
    found = {name: values for part in parts for name, values in part.items()}
    taken = answers.claimed(found, worker=worker, lease=lease)
    return Claimed(taken, is_more=found["is_more"][-1], due_in=_after(found["due_seconds"][-1]))


def next_due(connection: Connection, queues: Sequence[str], *, now: datetime | None = None) -> timedelta | None:
    """Return how long until a command becomes ready by itself (0 or less: one is), or None if none will."""
    (row,) = connection.run("commands/next_due", queues=list(queues), now=now)
    return _after(row["due_seconds"])


def due_by_queue(connection: Connection, queues: Sequence[str], *, now: datetime | None = None) -> dict[str, timedelta]:
    """Return how long from now each queue has work: 0 if it has some now; queues without any are left out."""
    found = connection.run("commands/due_by_queue", queues=list(queues), now=now)
    return {row["queue"]: timedelta(seconds=row["due_seconds"]) for row in found}


def heartbeat(
    connection: Connection, held: Sequence[Command], *, lease: timedelta, now: datetime | None = None
) -> set[Fence]:
    """Extend the leases of running attempts to `lease` from now; return the fences that still hold."""
    fences = [rows.fence_row(command) for command in held]
    return _held(connection, "commands/heartbeat", fences, lease_seconds=lease.total_seconds(), now=now)


def note(
    connection: Connection, noted: Sequence[tuple[Command, Any, Sequence[Compensation]]], *, now: datetime | None = None
) -> set[Fence]:
    """Store what running attempts tell of themselves; return the fences of those that still held their lease."""
    return _held(connection, "commands/note", [rows.note_row(*told) for told in noted], now=now)


def settle(connection: Connection, settlements: Sequence[Settlement], *, now: datetime | None = None) -> Settled:
    """Write how attempts ended, with the children of those that did, and tell the commands that wait for them."""
    finishing = [settlement for settlement in settlements if settlement.state.is_terminal]
    lost = _finish(connection, finishing, now)
    if len(finishing) < len(settlements):
        going_on = [settlement for settlement in settlements if not settlement.state.is_terminal]
        lost |= _put_back(connection, going_on, now)
    related = [settlement for settlement in finishing if settlement.children or settlement.command.join_id]
    # By fence, not by id: a zombie may report in one batch with its successor.
    written = [settlement for settlement in related if fence(settlement.command) not in lost]
    children = [child for settlement in written for child in settlement.children]
    if children:
        enqueue(connection, children, now=now)
    arrivals = [rows.arrival_row(s.command, s.state, s.result, s.error) for s in written if s.ends_its_part]
    return Settled(lost, joins.arrive(connection, arrivals, now=now))


def is_one_statement(settlements: Sequence[Settlement]) -> bool:
    """Whether `settle` writes these with a single statement, which needs no transaction around it."""
    is_terminal, opens_run = settlements[0].state.is_terminal, settlements[0].opens_run
    for each in settlements:
        if each.state.is_terminal is not is_terminal or each.opens_run is not opens_run:
            return False
        if each.children or each.command.join_id:
            return False
    return True


def cancel(
    connection: Connection, ids: Sequence[UUID], reason: str, *, now: datetime | None = None
) -> tuple[list[Command], list[str]]:
    """Cancel live commands; return those that were, and the queues in which others became ready thereby.

    A running attempt is not asked: its lease is gone, and nothing that it reports is taken.
    """
    error = ErrorInfo("Cancelled", reason)
    cancelled = connection.run("commands/cancel", make=answers.as_command, ids=list(ids), error=asdict(error), now=now)
    arrivals = [rows.arrival_row(c, c.state, None, error) for c in cancelled if c.join_id]
    return cancelled, joins.arrive(connection, arrivals, now=now)


def hasten(connection: Connection, command_id: UUID, *, now: datetime | None = None) -> Command | None:
    """Make a command ready that waits for its time; None: it waits for none."""
    hastened = connection.run("commands/hasten", make=answers.as_command, id=command_id, now=now)
    return hastened[0] if hastened else None


def unique_key_holders(connection: Connection, unique_keys: Sequence[str]) -> dict[str, UUID]:
    """Return the live commands that hold unique keys, by key."""
    found = connection.run("commands/find_by_unique_key", unique_keys=sorted(unique_keys))
    return {row["unique_key"]: row["id"] for row in found}


def dispatch(connection: Connection, queues: Sequence[str], *, limit: int, now: datetime | None = None) -> list[str]:
    """Promote at most `limit` due commands of each queue; return the queue of each."""
    return _queues(connection.run("commands/dispatch", queues=list(queues), limit=limit, now=now))


def rescue(connection: Connection, *, limit: int, now: datetime | None = None) -> list[str]:
    """Take back at most `limit` leases that ran out, in any queue; return the queue of each."""
    return _queues(connection.run("commands/rescue", limit=limit, now=now))


def get(connection: Connection, command_id: UUID) -> Command | None:
    """Return a command, live or finished, or None."""
    found = connection.run("commands/get", make=answers.as_command, id=command_id)
    return found[0] if found else None


def known(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the ids that belong to a command, live or finished, at one moment."""
    return _ids(connection.run("commands/known", ids=list(ids))) if ids else set()


def _finish(connection: Connection, settlements: Sequence[Settlement], now: datetime | None) -> set[Fence]:
    """File commands that ended; return the fences that did not hold."""
    if not settlements:
        return set()
    return set(connection.run("commands/finish", make=as_tuple, rows=rows.ended_rows(settlements), now=now))


def _put_back(connection: Connection, settlements: Sequence[Settlement], now: datetime | None) -> set[Fence]:
    """Write settlements after which commands go on, in a new run or not; return the fences that did not hold."""
    repeating = [rows.repeat_row(settlement) for settlement in settlements if settlement.opens_run]
    returning = [rows.put_back_row(settlement) for settlement in settlements if not settlement.opens_run]
    held: set[Fence] = set()
    if repeating:
        held |= _held(connection, "commands/repeat", repeating, now=now)
    if returning:
        held |= _held(connection, "commands/put_back", returning, now=now)
    return {fence(settlement.command) for settlement in settlements} - held


def _enqueued(command_id: UUID, owners: Mapping[UUID, UUID], holders: Mapping[UUID, UUID]) -> Enqueued:
    """Follow a key to its owner, and an owner to the holder of its unique key."""
    owner = owners.get(command_id, command_id)
    final = holders.get(owner, owner)
    return Enqueued(final, created=final == command_id)


def _place(connection: Connection, new: Sequence[NewCommand], now: datetime | None) -> dict[UUID, UUID]:
    """Store commands, and map each id that was not to the holder of its unique key.

    Rows go in by unique key, so that two callers with the same keys wait for each other and never deadlock.
    """
    holders: dict[UUID, UUID] = {}
    left = sorted(bulk.copy(connection, new, now=now), key=lambda command: command.unique_key or "")
    for _ in range(_PLACING_TRIES):
        if not left:
            return holders
        stored = _inserted(connection, left, now)
        left = [command for command in left if command.id not in stored]
        # The holder may finish between the two statements; then the key is free and the next round takes it.
        holders |= _holders(connection, left)
        left = [command for command in left if command.id not in holders]
    if left:
        raise _busy(left[0])
    return holders


def _inserted(connection: Connection, new: Sequence[NewCommand], now: datetime | None) -> set[UUID]:
    """Insert commands, unless their unique keys are held, and return the ids of those that were."""
    stored: set[UUID] = set()
    for at in range(0, len(new), _INSERTED_AT_ONCE):
        some = [rows.new_row(command) for command in new[at : at + _INSERTED_AT_ONCE]]
        stored |= _ids(connection.run("commands/enqueue", rows=some, now=now))
    return stored


def _busy(command: NewCommand) -> DatabaseBusy:
    return DatabaseBusy(f"unique_key {command.unique_key!r} changed hands {_PLACING_TRIES} times; try again")


def _holders(connection: Connection, refused: Sequence[NewCommand]) -> dict[UUID, UUID]:
    if not refused:
        return {}
    holder = unique_key_holders(connection, list({command.unique_key for command in refused if command.unique_key}))
    return {command.id: holder[command.unique_key] for command in refused if command.unique_key in holder}


def _after(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _ids(found: list[rows.Row]) -> set[UUID]:
    return {row["id"] for row in found}


def _held(connection: Connection, statement: str, writes: list[rows.Row], **parameters: Any) -> set[Fence]:
    """Run a fenced statement, which answers with the fences of those whose lease held."""
    return set(connection.run(statement, make=as_tuple, rows=writes, **parameters))


def _queues(found: list[rows.Row]) -> list[str]:
    return [row["queue"] for row in found]
