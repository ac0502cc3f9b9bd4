"""A model of the store, run against the real one: anything may happen in any order, and the promises hold.

Hypothesis calls the rules in an order of its choosing: commands come with and without keys, workers claim, finish,
fail, stall and report late, time passes, passes run. After each step the whole database is read and compared with what
may follow from what was there before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import UUID

from factories import LEASE, QUEUE, error_info, new_command
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from virtual_store import VirtualStore, schema_of

from durex_core.ids import uuid7
from durex_core.model import Command, NewCommand, State
from durex_core.rules.lifecycle import (
    TRANSITIONS,
    Failed,
    HandlerMissing,
    Outcome,
    Released,
    Returned,
    Settlement,
    decide,
)
from durex_core.store import commands, keys

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MOST_LIVE = 8
EVERYTHING = 100
EXAMPLES = {"sqlite": 80, "postgres": 50}
BACKOFF = {"kind": "constant", "delay": 10}


@dataclass(frozen=True)
class Seen:
    """What the database says of a command."""

    state: State
    attempt: int
    retries: int
    lease_number: int
    lease_expires_at: datetime | None
    ready_at: datetime
    unique_key: str | None

    def is_claimable(self, now: datetime) -> bool:
        match self.state:
            case State.PENDING:
                return True
            case State.SCHEDULED:
                return self.ready_at <= now
            case State.STARTED:
                assert self.lease_expires_at is not None
                return self.lease_expires_at <= now
        return False


specs = st.builds(
    dict,
    retries=st.integers(0, 2),
    delay=st.sampled_from([timedelta(0), timedelta(0), 10 * SECOND]),
    dead_letter=st.booleans(),
    backoff=st.sampled_from([None, BACKOFF]),
    unique_key=st.sampled_from([None, None, "a", "b"]),
    idempotency_key=st.sampled_from([None, None, "a", "b"]),
)
batches = st.lists(specs, min_size=1, max_size=3)
ends = st.sampled_from(["returned", "failed", "failed for good", "timed out", "released", "handler missing"])
reports = st.tuples(ends, st.lists(specs, max_size=2))


class StoreMachine(RuleBasedStateMachine):
    """Workers, passes and time, around one database."""

    attempts: Bundle[Command] = Bundle("attempts")

    def __init__(self, store: VirtualStore) -> None:
        super().__init__()
        self.store = store
        self.seen: dict[str, Seen] = {}
        self.finished: dict[str, Any] = {}
        self.claims: list[Command] = []
        self.numbers = count(1)
        self.expected_ids: set[str] = set()
        self.key_holders: dict[str, tuple[str, datetime]] = {}

    @initialize(target=attempts, first=batches)
    def begin(self, first: list[dict[str, Any]]) -> Any:
        self.store.clear()
        self.enqueue(first)
        self.seen, self.finished = self.look()
        return self.claim(limit=3)

    @precondition(lambda self: len(self.seen) < MOST_LIVE)
    @rule(batch=batches)
    def enqueue(self, batch: list[dict[str, Any]]) -> None:
        new = self.made(batch)
        expected = self.placed(new, self.seen)

        answers = self.store.enqueue(*new)

        assert [(str(answer.id), answer.created) for answer in answers] == expected

    @precondition(lambda self: self.claimable())
    @rule(target=attempts, limit=st.integers(1, 3))
    def claim(self, limit: int) -> Any:
        limit = EVERYTHING if self.has_ties() else limit
        claimable = {command_id for command_id, _ in self.claimable()}

        claimed = self.store.claim(limit=limit)

        assert len(claimed) == min(limit, len(claimable))
        for command in claimed:
            assert str(command.id) in claimable
            before = self.seen[str(command.id)]
            assert command.lease_number == before.lease_number + 1
            assert command.attempt == min(before.attempt, command.retries) + 1
        self.claims += claimed
        return multiple(*claimed)

    @rule(
        reported=st.lists(
            st.tuples(attempts, reports),
            min_size=1,
            max_size=3,
            unique_by=lambda pair: fence(pair[0]),
        )
    )
    def report(self, reported: list[tuple[Command, tuple[str, list[dict[str, Any]]]]]) -> None:
        """Several attempts end in one group commit: holders of their leases and zombies alike."""
        settlements = [decide(attempt, self.outcome_of(end, children), 0.5) for attempt, (end, children) in reported]
        held = [settlement for settlement in settlements if self.holds(settlement.command)]
        ended = {str(settlement.command.id) for settlement in held if settlement.state.is_terminal}
        left = {command_id: seen for command_id, seen in self.seen.items() if command_id not in ended}
        self.placed([child for settlement in held for child in children_of(settlement)], left)

        self.settle(settlements, held)

    @precondition(lambda self: self.holding())
    @rule(data=st.data(), end=ends)
    def report_in_time(self, data: st.DataObject, end: str) -> None:
        """One attempt ends as it should: it holds its lease."""
        attempt = data.draw(st.sampled_from(self.holding()))
        settlement = decide(attempt, self.outcome_of(end, []), 0.5)

        self.settle([settlement], [settlement])

    @precondition(lambda self: self.zombies())
    @rule(data=st.data(), end=ends, children=st.lists(specs, max_size=1))
    def report_too_late(self, data: st.DataObject, end: str, children: list[dict[str, Any]]) -> None:
        """One attempt ends whose command is still alive, but no longer its own."""
        attempt = data.draw(st.sampled_from(self.zombies()))

        self.settle([decide(attempt, self.outcome_of(end, children), 0.5)], [])

    @precondition(lambda self: self.succeeded())
    @rule(data=st.data(), end=ends, children=st.lists(specs, min_size=1, max_size=2))
    def report_together(self, data: st.DataObject, end: str, children: list[dict[str, Any]]) -> None:
        """A zombie, which wants children, and its successor end in one group commit."""
        zombie, successor = data.draw(st.sampled_from(self.succeeded()))
        late = decide(zombie, self.outcome_of("returned", children), 0.5)
        in_time = decide(successor, self.outcome_of(end, []), 0.5)

        self.settle([late, in_time], [in_time])

    def settle(self, settlements: Sequence[Settlement], held: Sequence[Settlement]) -> None:
        settled = self.store.database.transact(
            lambda connection: commands.settle(connection, settlements, now=self.store.now)
        )
        assert settled == {settlement.command.id for settlement in held}

    @precondition(lambda self: self.holding() or self.zombies())
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        """Some attempts say that they are alive: holders of their leases and zombies alike."""
        alive = st.sampled_from(self.zombies() + self.holding())
        beating = data.draw(st.lists(alive, min_size=1, max_size=3, unique_by=fence))
        held = {attempt.id for attempt in beating if self.holds(attempt)}

        extended = self.store.database.transact(
            lambda connection: commands.heartbeat(connection, beating, lease=LEASE, now=self.store.now)
        )

        assert extended == held

    @precondition(lambda self: self.claimable(State.STARTED))
    @rule()
    def rescue(self) -> None:
        assert self.store.rescue() == [QUEUE] * len(self.claimable(State.STARTED))

    @precondition(lambda self: self.claimable(State.SCHEDULED))
    @rule()
    def dispatch(self) -> None:
        assert self.store.dispatch() == [QUEUE] * len(self.claimable(State.SCHEDULED))

    @rule(by=st.sampled_from([timedelta(microseconds=1), SECOND, 10 * SECOND, LEASE, LEASE, keys.KEEP]))
    def advance(self, by: timedelta) -> None:
        self.store.advance(by)

    @precondition(lambda self: self.holding())
    @rule(then_heartbeat=st.booleans())
    def stall(self, then_heartbeat: bool) -> None:
        """All workers stall until the first lease is over; the one whose it was may not know."""
        ends = [(seen.lease_expires_at, command_id) for command_id, seen in self.seen.items() if seen.lease_expires_at]
        end, command_id = min(ends)
        self.store.now = max(self.store.now, end)
        if then_heartbeat:
            late = [attempt for attempt in self.claims if str(attempt.id) == command_id]
            assert not self.store.heartbeat(*late)

    @invariant()
    def nothing_is_lost_and_every_change_is_allowed(self) -> None:
        now_seen, finished = self.look()

        assert set(now_seen) | set(finished) == self.expected_ids
        assert not set(now_seen) & set(finished)
        for command_id, row in self.finished.items():
            assert finished[command_id] == row, "a finished command changed"
        for command_id, row in finished.items():
            self.check_move(command_id, row["state"], row["lease_number"])
            assert row["attempt"] <= row["retries"] + 1
        for command_id, seen in now_seen.items():
            self.check_move(command_id, seen.state, seen.lease_number)
            assert seen.attempt <= seen.retries + 1
            assert (seen.state is State.STARTED) == (seen.lease_expires_at is not None)
        unique_keys = [seen.unique_key for seen in now_seen.values() if seen.unique_key]
        assert len(unique_keys) == len(set(unique_keys))
        self.seen, self.finished = now_seen, finished
        self.store.advance(timedelta(microseconds=1))

        moments = [seen.ready_at for seen in self.seen.values() if seen.state is State.SCHEDULED]
        moments += [seen.lease_expires_at for seen in self.seen.values() if seen.lease_expires_at]
        assert self.store.next_due() == (min(moments) - self.store.now if moments else None)

    def check_move(self, command_id: str, state: str, lease_number: int) -> None:
        before = self.seen.get(command_id)
        if command_id in self.finished:
            return
        if before is None:
            assert state in TRANSITIONS[None]
            assert lease_number == 0
            return
        assert lease_number in {before.lease_number, before.lease_number + 1}
        has_moved = state != before.state or lease_number != before.lease_number
        assert not has_moved or state in TRANSITIONS[before.state]
        assert lease_number == before.lease_number or state == State.STARTED

    def teardown(self) -> None:
        for command_id in self.expected_ids:
            command = self.store.get(command_id)  # type: ignore[arg-type]
            numbers = [past.lease_number for past in command.history]
            assert all(earlier < later for earlier, later in pairwise(numbers))
            assert all(past.attempt <= command.retries + 1 for past in command.history)
            assert len(numbers) <= command.lease_number

    def outcome_of(self, end: str, children: list[dict[str, Any]]) -> Outcome:
        match end:
            case "returned":
                return Returned("done", tuple(self.made(children)))
            case "failed":
                return Failed(error_info())
            case "failed for good":
                return Failed(error_info(), retryable=False)
            case "timed out":
                return Failed(error_info(), how="timed_out")
            case "released":
                return Released("stopping")
            case _:
                return HandlerMissing()

    def made(self, batch: list[dict[str, Any]]) -> list[NewCommand]:
        """Make commands that differ in id and priority, so that the same steps always lead to the same choices."""
        return [
            new_command(id=uuid7(0, number), priority=number, **spec)
            for spec, number in zip(batch, self.numbers, strict=False)
        ]

    def has_ties(self) -> bool:
        """Whether several commands became claimable at one moment, so that any of them may come first."""
        moments = [seen.ready_at for _, seen in self.claimable(State.SCHEDULED)]
        moments += [seen.lease_expires_at for _, seen in self.claimable(State.STARTED) if seen.lease_expires_at]
        return len(moments) > len(set(moments))

    def claimable(self, *states: State) -> list[tuple[str, Seen]]:
        """Return the commands (in these states) that a claim may take now."""
        return [
            (command_id, seen)
            for command_id, seen in self.seen.items()
            if seen.is_claimable(self.store.now) and (not states or seen.state in states)
        ]

    def holding(self) -> list[Command]:
        """Return the attempts that own their commands."""
        return [attempt for attempt in self.claims if self.holds(attempt)]

    def zombies(self) -> list[Command]:
        """Return the attempts that lost a command which lives on."""
        return [attempt for attempt in self.claims if str(attempt.id) in self.seen and not self.holds(attempt)]

    def succeeded(self) -> list[tuple[Command, Command]]:
        """Return each attempt that lost its command to a later one, with that one."""
        return [(zombie, holder) for holder in self.holding() for zombie in self.zombies() if zombie.id == holder.id]

    def holds(self, attempt: Command) -> bool:
        """Whether an attempt still owns its command: it alone may write."""
        seen = self.seen.get(str(attempt.id))
        return (
            seen is not None
            and seen.lease_number == attempt.lease_number
            and seen.lease_expires_at is not None
            and seen.lease_expires_at > self.store.now
        )

    def placed(self, new: Sequence[NewCommand], live: dict[str, Seen]) -> list[tuple[str, bool]]:
        """Say what enqueuing these leads to, and remember it."""
        holders = {seen.unique_key: command_id for command_id, seen in live.items() if seen.unique_key}
        stands_for: dict[str, str] = {}
        for command in new:
            own = str(command.id)
            holder, until = self.key_holders.get(command.idempotency_key or "", (own, self.store.now))
            stands_for[own] = holder if command.idempotency_key and until > self.store.now else own
            if command.idempotency_key and stands_for[own] == own:
                self.key_holders[command.idempotency_key] = (own, self.store.now + keys.KEEP)
        for command in new:
            own = str(command.id)
            if stands_for[own] == own and command.unique_key:
                stands_for[own] = holders.setdefault(command.unique_key, own)
        for key, (holder, until) in self.key_holders.items():
            self.key_holders[key] = (stands_for.get(holder, holder), until)
        final = {own: stands_for.get(owner, owner) for own, owner in stands_for.items()}
        self.expected_ids |= {own for own, owner in final.items() if own == owner}
        return [(final[str(command.id)], final[str(command.id)] == str(command.id)) for command in new]

    def look(self) -> tuple[dict[str, Seen], dict[str, Any]]:
        with self.store.database.autocommit() as connection:
            return (
                {str(row["id"]): seen_in(row) for row in read(connection, "commands")},
                {str(row["id"]): row for row in read(connection, "finished_commands")},
            )


def read(connection: Any, table: str) -> Iterable[dict[str, Any]]:
    cursor = connection.raw.execute(f"SELECT * FROM {schema_of(connection)}{table}")
    columns = [column[0] for column in cursor.description]
    return [row if isinstance(row, dict) else dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def seen_in(row: dict[str, Any]) -> Seen:
    return Seen(
        state=State(row["state"]),
        attempt=row["attempt"],
        retries=row["retries"],
        lease_number=row["lease_number"],
        lease_expires_at=None if row["lease_expires_at"] is None else moment(row["lease_expires_at"]),
        ready_at=moment(row["ready_at"]),
        unique_key=row["unique_key"],
    )


def moment(value: datetime | int) -> datetime:
    return value if isinstance(value, datetime) else EPOCH + timedelta(microseconds=value)


def fence(attempt: Command) -> tuple[UUID, int]:
    return attempt.id, attempt.lease_number


def children_of(settlement: Settlement) -> tuple[NewCommand, ...]:
    return settlement.children if settlement.state.is_terminal else ()


def test_whatever_happens_in_whatever_order_the_promises_hold(store: VirtualStore):
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: StoreMachine(VirtualStore(store.database)),
        settings=settings(
            max_examples=EXAMPLES[store.database.dialect],
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )
