"""A model of the store, run against the real one: anything may happen in any order, and the promises hold.

Hypothesis calls the rules in an order of its choosing: commands come with and without keys and deadlines, workers
claim, finish, fail, repeat, spawn, stall and report late, hooks fail, people cancel and revive, time passes, passes
run. After each step the whole database is read and compared with what may follow from what was there before.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from factories import LEASE, QUEUE, error_info
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
from store_model import (
    SECOND,
    Maker,
    batches,
    ends,
    fence,
    joins,
    outcome_of,
    reports,
    specs,
)
from store_watch import UNSUCCESSFUL, Watch
from virtual_store import VirtualStore

from durex_core.model import Command, NewCommand
from durex_core.rules.endings import hook_failed
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Settlement
from durex_core.store import commands, finished, keys

MOST_LIVE = 9
EVERYTHING = 100
EXAMPLES = {"sqlite": 200, "postgres": 80}
BROKEN = error_info(type="HookError")


class StoreMachine(Watch, RuleBasedStateMachine):
    """Workers, people, passes and time, around one database."""

    attempts: Bundle[Command] = Bundle("attempts")

    def __init__(self, store: VirtualStore) -> None:
        super().__init__()
        self.watch(store)
        self.make = Maker()

    @initialize(target=attempts, first=batches, join=joins)
    def begin(self, first: list[dict[str, Any]], join: Any) -> Any:
        self.store.clear()
        self.enqueue(first, join)
        self.look()
        return self.claim(limit=3)

    @precondition(lambda self: len(self.seen) < MOST_LIVE)
    @rule(batch=batches, join=joins)
    def enqueue(self, batch: list[dict[str, Any]], join: Any) -> None:
        new = [*self.make.commands(batch), *self.make.join(join)]
        expected = self.placed(new, self.seen)

        answers = self.store.enqueue(*new)

        assert [(str(answer.id), answer.created) for answer in answers] == expected

    @precondition(lambda self: self.claimable())
    @rule(target=attempts, limit=st.integers(1, 3))
    def claim(self, limit: int) -> Any:
        limit = EVERYTHING if self.has_ties() else limit
        claimable = self.claimable()

        claimed = self.store.claim(limit=limit)

        assert len(claimed) == min(limit, len(claimable))
        for command in claimed:
            before = claimable[str(command.id)]
            assert command.lease_number == before.lease_number + 1
            assert command.attempt == before.next_attempt(self.store.now)
            assert command.is_overdue == (before.ending is None and before.is_overdue(self.store.now))
        self.claims += claimed
        return multiple(*claimed)

    @precondition(lambda self: self.claimable())
    @rule(target=attempts, ends=st.lists(ends, min_size=1, max_size=3), join=joins)
    def work(self, ends: list[str], join: Any) -> Any:
        """A worker claims, and each attempt ends at once; one that returns may ask for a join."""
        self.claim(limit=len(ends))
        claimed = self.claims[-min(len(ends), len(self.claimable())) :]
        self.look()
        wanted = self.make.join(join) if len(self.seen) < MOST_LIVE else []
        settlements = [
            self.settlement(attempt, end, wanted if number == 0 else [])
            for number, (attempt, end) in enumerate(zip(claimed, ends, strict=False))
        ]
        self.settle(settlements, settlements)
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
        settlements = [
            self.settlement(attempt, end, self.make.commands(children)) for attempt, (end, children) in reported
        ]
        self.settle(settlements, [settlement for settlement in settlements if self.holds(settlement.command)])

    @precondition(lambda self: self.holding())
    @rule(data=st.data(), end=ends)
    def report_in_time(self, data: st.DataObject, end: str) -> None:
        """One attempt ends as it should: it holds its lease."""
        settlement = self.settlement(data.draw(st.sampled_from(self.holding())), end)

        self.settle([settlement], [settlement])

    @precondition(lambda self: self.zombies())
    @rule(data=st.data(), end=ends, children=st.lists(specs, max_size=1))
    def report_too_late(self, data: st.DataObject, end: str, children: list[dict[str, Any]]) -> None:
        """One attempt ends whose command is still alive, but no longer its own."""
        attempt = data.draw(st.sampled_from(self.zombies()))

        self.settle([self.settlement(attempt, end, self.make.commands(children))], [])

    @precondition(lambda self: self.succeeded())
    @rule(data=st.data(), end=ends, children=st.lists(specs, min_size=1, max_size=2))
    def report_together(self, data: st.DataObject, end: str, children: list[dict[str, Any]]) -> None:
        """A zombie, which wants children, and its successor end in one group commit."""
        zombie, successor = data.draw(st.sampled_from(self.succeeded()))
        late = self.settlement(zombie, "returned", self.make.commands(children))
        in_time = self.settlement(successor, end)

        self.settle([late, in_time], [in_time])

    def settlement(self, attempt: Command, end: str, children: Sequence[NewCommand] = ()) -> Settlement:
        """Decide what an attempt comes to, with what it has noted."""
        current = replace(attempt, compensations=self.notes.get(fence(attempt), attempt.compensations))
        settlement = decide(current, outcome_of(end, children), 0.5)
        is_to_fail = end == "hook failed" and settlement.hook is not None
        return hook_failed(settlement, BROKEN, retryable=True) if is_to_fail else settlement

    def settle(self, settlements: Sequence[Settlement], held: Sequence[Settlement]) -> None:
        ended = {str(settlement.command.id) for settlement in held if settlement.state.is_terminal}
        woken = self.woken_by(ended)
        left = {command_id: seen for command_id, seen in self.seen.items() if command_id not in ended}
        self.placed([child for settlement in held for child in settlement.children], left)

        settled = self.store.end(*settlements)

        assert settled.lost == {fence(settlement.command) for settlement in settlements} - {
            fence(settlement.command) for settlement in held
        }
        assert settled.woken == [QUEUE] * len(woken)

    @precondition(lambda self: self.holding() or self.zombies())
    @rule(data=st.data(), lease=st.sampled_from([SECOND, LEASE]))
    def heartbeat(self, data: st.DataObject, lease: timedelta) -> None:
        """Some attempts say that they are alive: holders of their leases and zombies alike."""
        alive = st.sampled_from(self.zombies() + self.holding())
        beating = data.draw(st.lists(alive, min_size=1, max_size=3, unique_by=fence))
        held = {fence(attempt) for attempt in beating if self.holds(attempt)}

        extended = self.store.database.transact(
            lambda connection: commands.heartbeat(connection, beating, lease=lease, now=self.store.now)
        )

        assert extended == held

    @precondition(lambda self: self.holding() or self.zombies())
    @rule(data=st.data(), has_step=st.booleans())
    def note(self, data: st.DataObject, has_step: bool) -> None:
        """An attempt tells of itself, and what undoes its step."""
        attempt = data.draw(st.sampled_from(self.zombies() + self.holding()))
        steps = (self.make.compensation(),) if has_step else ()

        assert self.store.note(attempt, {"lease": attempt.lease_number}, *steps) == self.holds(attempt)

        if self.holds(attempt):
            self.notes[fence(attempt)] = steps

    @precondition(lambda self: len(self.seen) > MOST_LIVE / 2)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Somebody cancels live commands, whatever they do."""
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.seen)), min_size=1, max_size=2, unique=True))
        woken = self.woken_by(set(chosen))

        cancelled, queues = self.store.cancel(*map(UUID, chosen))

        assert sorted(str(command.id) for command in cancelled) == sorted(chosen)
        assert queues == [QUEUE] * len(woken)

    @precondition(lambda self: self.revivable())
    @rule(data=st.data())
    def revive(self, data: st.DataObject) -> None:
        """Somebody wants a command that ended to run again."""
        command_id = data.draw(st.sampled_from(self.revivable()))
        before = self.store.get(UUID(command_id))
        is_late = before.extras.deadline is None and (before.deadline_at or self.store.now + SECOND) <= self.store.now

        live = self.store.database.transact(
            lambda connection: finished.revive(connection, before.id, UNSUCCESSFUL, now=self.store.now)
        )

        assert (live is None) == is_late
        if live is not None:
            assert (live.attempt, live.lease_number, live.run) == (0, before.lease_number, before.run)
            self.revived.add(command_id)

    @precondition(lambda self: self.abandoned())
    @rule()
    def rescue(self) -> None:
        assert self.store.rescue() == [QUEUE] * len(self.abandoned())

    @precondition(lambda self: self.due())
    @rule()
    def dispatch(self) -> None:
        assert self.store.dispatch() == [QUEUE] * len(self.due())

    @precondition(lambda self: self.remembered)
    @rule()
    def prune_joins(self) -> None:
        let_go = sum(number for waiting, number in self.remembered.items() if not self.is_waiting(waiting))
        assert self.store.prune_joins() == let_go

    @rule(by=st.sampled_from([timedelta(microseconds=1), SECOND, 10 * SECOND, 10 * SECOND, LEASE, keys.KEEP]))
    def advance(self, by: timedelta) -> None:
        self.store.advance(by)

    @precondition(lambda self: self.holding())
    @rule(then_heartbeat=st.booleans())
    def stall(self, then_heartbeat: bool) -> None:
        """All workers stall until the first lease is over; the one whose it was may not know."""
        leases = [
            (seen.lease_expires_at, command_id) for command_id, seen in self.seen.items() if seen.lease_expires_at
        ]
        end, command_id = min(leases)
        self.store.now = max(self.store.now, end)
        if then_heartbeat:
            late = [attempt for attempt in self.claims if str(attempt.id) == command_id]
            assert not self.store.heartbeat(*late)

    @invariant()
    def nothing_is_lost_and_every_change_is_allowed(self) -> None:
        self.look()
        self.store.advance(timedelta(microseconds=1))
        moments = [moment for seen in self.seen.values() for moment in seen.moments()]
        assert self.store.next_due() == (min(moments) - self.store.now if moments else None)

    def teardown(self) -> None:
        for command_id in self.expected_ids:
            runs = self.store.runs(UUID(command_id))
            assert [run.run for run in runs] == list(range(1, len(runs) + 1))
            for run in runs:
                for earlier, later in pairwise(run.history):
                    # What was revived may have ended while nobody held it.
                    assert earlier.lease_number < later.lease_number + (later.revived_at is not None)
                assert all(past.attempt <= run.retries + 1 for past in run.history)
                assert all(past.lease_number <= run.lease_number for past in run.history)


def test_whatever_happens_in_whatever_order_the_promises_hold(store: VirtualStore):
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: StoreMachine(VirtualStore(store.database)),
        settings=settings(
            max_examples=EXAMPLES[store.database.dialect],
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )
