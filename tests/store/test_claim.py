"""A claim takes the most urgent ready commands of its queues, each under a new lease, and no command twice."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from factories import LEASE, START, error_info, new_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from virtual_store import VirtualStore

from durex_core.model import PastAttempt, State
from durex_core.rules.outcomes import Crashed, Failed, Released, Repeated, Returned
from durex_core.store import commands
from durex_core.store.commands import Claimed

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


def test_a_claimed_command_is_started_under_a_lease(store: VirtualStore):
    command_id = store.add()
    store.advance(SECOND)

    claimed = store.claim_one(lease=timedelta(seconds=1.249), worker="host:1")

    assert claimed == store.get(command_id)
    assert (claimed.state, claimed.attempt, claimed.lease_number) == (State.STARTED, 1, 1)
    assert (claimed.worker, claimed.history) == ("host:1", ())
    assert claimed.started_at == START + SECOND
    assert claimed.lease_expires_at == START + SECOND + timedelta(seconds=1.249)
    assert claimed.created_at == claimed.ready_at == START


def test_the_higher_priority_comes_first_then_the_longer_ready(store: VirtualStore):
    expected = {}
    for priority in (0, 5, -5, 5, 0):
        expected[store.add(priority=priority)] = (-priority, store.now)
        store.advance(SECOND)

    claimed = [store.claim_one(limit=1).id for _ in expected]

    assert claimed == sorted(expected, key=lambda command_id: expected[command_id])


def test_one_claim_answers_in_the_same_order(store: VirtualStore):
    for priority in (0, 5, -5, 5, 0):
        store.add(priority=priority)
        store.advance(SECOND)

    claimed = store.claim()

    assert [command.priority for command in claimed] == [5, 5, 0, 0, -5]
    assert all(
        earlier.ready_at < later.ready_at for earlier, later in pairwise(claimed) if earlier.priority == later.priority
    )


def test_priority_is_weighed_across_queues(store: VirtualStore):
    low = [store.add(queue="low", priority=1) for _ in range(3)]
    high = [store.add(queue="high", priority=2) for _ in range(3)]

    assert {command.id for command in store.claim("low", "high", limit=3)} == set(high)
    assert {command.id for command in store.claim("low", "high", limit=3)} == set(low)


@pytest.mark.parametrize("limit", [0, 1, 3, 5, 9])
def test_a_claim_takes_no_more_than_its_limit(store: VirtualStore, limit: int):
    store.enqueue(*(new_command(queue=queue) for queue in ("a", "b") for _ in range(2)))
    store.enqueue(new_command(queue="a", delay=SECOND))
    store.claim("b", limit=1, lease=SECOND)
    store.advance(SECOND)

    assert len(store.claim("a", "b", limit=limit)) == min(limit, 5)


def test_other_queues_are_left_alone(store: VirtualStore):
    store.add(queue="other")
    store.add(queue="other", delay=SECOND)
    store.start(queue="third")
    store.advance(LEASE)
    mine = store.add()

    assert [command.id for command in store.claim()] == [mine]
    assert store.claim("oth", "other2", "OTHER") == []


def test_several_queues_are_served_at_once(store: VirtualStore):
    ids = {store.add(queue=queue) for queue in ("a", "b", "c") for _ in range(3)}

    assert {command.id for command in store.claim("a", "b", "c", limit=100)} == ids


def test_no_queue_yields_nothing(store: VirtualStore):
    store.add()

    with store.database.autocommit() as connection:
        assert commands.claim(connection, [], limit=9, lease=LEASE, worker="worker", now=store.now).commands == []


def test_a_scheduled_command_is_claimed_when_it_is_due_and_not_before(store: VirtualStore):
    command_id = store.add(delay=timedelta(minutes=1))

    store.advance(timedelta(minutes=1) - MICROSECOND)
    assert store.claim() == []

    store.advance(MICROSECOND)
    assert store.claim_one().id == command_id


def test_due_expired_and_pending_commands_are_weighed_together(store: VirtualStore):
    expired = store.start(priority=2, retries=1).id
    due = store.add(priority=3, delay=SECOND)
    pending = store.add(priority=1)
    store.advance(LEASE)

    assert [store.claim_one(limit=1).id for _ in range(3)] == [due, expired, pending]


def test_a_claim_takes_nothing_that_is_already_taken(store: VirtualStore):
    ids = {store.add() for _ in range(5)}

    first, second = store.claim(limit=3), store.claim(limit=3)

    assert (len(first), len(second)) == (3, 2)
    assert {command.id for command in first + second} == ids
    assert store.claim() == []


def test_an_expired_lease_is_taken_over_with_its_crash_in_the_history(store: VirtualStore):
    crashed = store.start(retries=3)
    store.advance(LEASE)

    taken_over = store.claim_one(worker="fresh")

    assert (taken_over.id, taken_over.attempt, taken_over.lease_number) == (crashed.id, 2, 2)
    assert taken_over.worker == "fresh"
    assert taken_over.started_at == store.now
    assert taken_over.history == (
        PastAttempt(
            attempt=1,
            lease_number=1,
            outcome="crashed",
            ended_at=START + LEASE,
            started_at=START,
            worker="worker",
            error=None,
        ),
    )


def test_a_lease_that_was_extended_is_not_taken_over(store: VirtualStore):
    held = store.start()
    store.advance(LEASE - MICROSECOND)
    assert store.heartbeat(held)

    store.advance(LEASE - MICROSECOND)
    assert store.claim() == []

    store.advance(MICROSECOND)
    assert store.claim_one().id == held.id


@pytest.mark.parametrize("by_rescue", [False, True], ids=["by claim", "by rescue"])
def test_a_budget_that_crashes_have_spent_ends_the_command(store: VirtualStore, by_rescue: bool):
    command_id = store.add(retries=2)
    for attempt in (1, 2, 3):
        claimed = store.claim_one()
        assert (claimed.attempt, claimed.is_overdrawn) == (attempt, False)
        store.advance(LEASE)
        if by_rescue:
            store.rescue()

    ending = store.claim_one()

    assert (ending.attempt, ending.lease_number, ending.is_overdrawn) == (3, 4, True)
    assert store.settle(ending, Crashed())
    dead = store.get(command_id)
    assert (dead.state, dead.attempt) == (State.DEAD_LETTER, 3)
    assert dead.error is not None
    assert (dead.error.type, "crashes in all: 3" in dead.error.message) == ("Crashed", True)
    assert [past.attempt for past in dead.history] == [1, 2, 3]


@pytest.mark.parametrize("by_rescue", [False, True], ids=["by claim", "by rescue"])
@pytest.mark.parametrize("retries", [0, 1])
def test_the_first_crash_of_what_was_claimed_ahead_is_not_counted_and_the_next_ones_are(
    store: VirtualStore, by_rescue: bool, retries: int
):
    """It may never have begun; but a command that kills its workers must come to an end."""
    store.add(retries=retries)
    outcomes = []
    for attempt in (1, 1, 2)[: retries + 2]:
        claimed = store.claim_one(at_once=0)
        assert (claimed.attempt, claimed.is_overdrawn) == (attempt, False)
        store.advance(LEASE)
        if by_rescue:
            store.rescue()
        outcomes.append("crashed" if outcomes else "vanished")

    for lease_number in (retries + 3, retries + 4):
        ending = store.claim_one(at_once=0)
        assert (ending.attempt, ending.is_overdrawn, ending.lease_number) == (retries + 1, True, lease_number)
        store.advance(LEASE)
        if by_rescue:
            store.rescue()
    assert [past.outcome for past in ending.history][: retries + 2] == outcomes


def test_what_was_claimed_ahead_once_and_not_the_next_time_crashes_as_any_other(store: VirtualStore):
    store.add(retries=0)
    held = store.claim_one(at_once=0)
    assert store.settle(held, Released("others may be free"))
    store.claim_one()
    store.advance(LEASE)
    assert store.claim_one().is_overdrawn


def test_an_ending_that_crashes_too_is_handed_over_again(store: VirtualStore):
    store.start(retries=0)
    for lease_number in (2, 3, 4):
        store.advance(LEASE)
        ending = store.claim_one()
        assert (ending.attempt, ending.lease_number, ending.is_overdrawn) == (1, lease_number, True)

    assert store.settle(ending, Returned("whatever it says"))
    assert store.get(ending.id).state is State.DEAD_LETTER


def test_a_command_that_opts_out_of_the_dead_letter_queue_ends_as_failed(store: VirtualStore):
    store.start(retries=0, dead_letter=False)
    store.advance(LEASE)

    ending = store.claim_one()

    assert store.settle(ending, Crashed())
    assert store.get(ending.id).state is State.FAILED


READY: dict[str, Callable[[VirtualStore], object]] = {
    "pending": lambda store: store.add(),
    "due": lambda store: store.add(delay=SECOND),
    "overdue": lambda store: store.add(delay=HOUR, deadline_at=START + SECOND),
    "abandoned": lambda store: store.start(retries=1),
    "the next run": lambda store: store.settle(store.start(), Repeated(delay=SECOND)),
    "waiting and overdue": lambda store: store.add(awaits=1, deadline_at=START + SECOND),
}


@pytest.mark.parametrize("kind", READY)
def test_a_claim_that_takes_its_limit_says_whether_more_is_ready(store: VirtualStore, kind: str):
    for _ in range(2):
        READY[kind](store)
    store.add(queue="other")
    store.advance(LEASE)

    first, second = store.look(limit=1), store.look(limit=1)

    assert [len(first.commands), len(second.commands)] == [1, 1]
    assert [first.is_more, second.is_more] == [True, False]
    assert store.look("other", limit=0).is_more


@pytest.mark.parametrize("kind", READY)
def test_what_is_ready_is_not_due_and_what_was_taken_is_neither(store: VirtualStore, kind: str):
    READY[kind](store)
    store.advance(LEASE)

    claimed = store.look()

    assert (len(claimed.commands), claimed.is_more, claimed.due_in) == (1, False, None)


def test_a_claim_says_when_the_next_command_becomes_ready_by_itself(store: VirtualStore):
    store.add(queue="a", delay=HOUR)
    store.add(queue="b", delay=2 * HOUR)
    store.add(queue="b", delay=3 * HOUR)
    store.add(queue="other", delay=SECOND)
    store.add(queue="a")

    assert store.look("a", "b").due_in == HOUR
    assert (store.look("b").due_in, store.look("a", "b").due_in) == (2 * HOUR, HOUR)
    store.advance(HOUR - MICROSECOND)
    assert store.look("a").due_in == MICROSECOND
    store.advance(MICROSECOND)
    assert len(store.look("a").commands) == 1
    assert (store.look("a").due_in, store.look("a", "b").due_in) == (None, HOUR)


def test_the_next_run_of_a_command_is_due_by_itself(store: VirtualStore):
    store.settle(store.start(), Repeated(delay=40 * SECOND))

    assert store.look().due_in == 40 * SECOND


@pytest.mark.parametrize("options", [{}, {"awaits": 1}, {"delay": 2 * HOUR}], ids=["pending", "waiting", "scheduled"])
def test_the_end_of_a_commands_time_is_due_by_itself_until_it_is_taken(store: VirtualStore, options: dict[str, Any]):
    command_id = store.add(deadline_at=START + HOUR, **options)

    assert store.look(limit=0).due_in == HOUR
    claimed = store.look()
    assert [command.id for command in claimed.commands] == [] if options else [command_id]
    assert claimed.due_in == (HOUR if options else None)


def test_a_claim_that_takes_less_than_its_limit_says_what_comes_before_the_deadline_of_what_it_took(
    store: VirtualStore,
):
    store.add(deadline_at=START + SECOND)
    store.add(priority=-1, deadline_at=START + HOUR)

    first = store.look(limit=1)

    assert (len(first.commands), first.is_more, first.due_in) == (1, True, HOUR)


def test_what_others_run_is_theirs_to_see_to(store: VirtualStore):
    store.start()

    assert store.look(worker="other") == Claimed([], is_more=False, due_in=None)


def test_a_claim_of_no_queue_says_that_nothing_is_left(store: VirtualStore):
    store.add()
    store.add(delay=SECOND)

    with store.database.autocommit() as connection:
        claimed = commands.claim(connection, [], limit=9, lease=LEASE, worker="worker", now=store.now)

    assert claimed == Claimed([], is_more=False, due_in=None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(ends=st.lists(st.sampled_from(["failed", "released", "crashed", "rescued"]), max_size=12))
def test_the_lease_number_rises_at_every_claim_and_the_attempt_counts_all_but_releases(
    store: VirtualStore, ends: list[str]
):
    queue = uuid4().hex
    command_id = store.add(queue=queue, retries=100)
    counted = 0

    for claims, end in enumerate([*ends, "last"], start=1):
        claimed = store.claim_one(queue)
        assert (claimed.id, claimed.lease_number, claimed.attempt) == (command_id, claims, counted + 1)
        assert [past.lease_number for past in claimed.history] == list(range(1, claims))
        assert [past.outcome.replace("rescued", "crashed") for past in claimed.history] == [
            earlier.replace("rescued", "crashed") for earlier in ends[: claims - 1]
        ]
        finish_attempt(store, claimed.id, end)
        counted += end != "released"

    assert store.get(command_id).state is State.COMPLETED


def finish_attempt(store: VirtualStore, command_id: UUID, end: str) -> None:
    claimed = store.get(command_id)
    match end:
        case "failed":
            assert store.settle(claimed, Failed(error_info()))
        case "released":
            assert store.settle(claimed, Released("stopping"))
        case "crashed":
            store.advance(LEASE)
        case "rescued":
            store.advance(LEASE)
            assert claimed.queue in store.rescue()
        case _:
            assert store.settle(claimed, Returned())
