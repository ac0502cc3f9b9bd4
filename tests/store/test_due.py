"""Time passing: what becomes due is promoted, what was abandoned is taken back, and the store knows when to look."""

from collections import Counter
from datetime import timedelta

import pytest
from factories import LEASE, QUEUE, START, error_info, new_command
from virtual_store import VirtualStore

from durex_core.model import PastAttempt, State
from durex_core.rules.outcomes import Failed, Returned

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)


def test_dispatch_promotes_what_is_due_and_nothing_else(store: VirtualStore):
    due = store.add(delay=MINUTE)
    future = store.add(delay=MINUTE + MICROSECOND)
    other_queue = store.add(queue="other", delay=SECOND)
    store.advance(MINUTE)
    before = store.get(due)

    assert store.dispatch() == [QUEUE]

    assert store.get(due).state is State.PENDING
    assert store.get(due).ready_at == before.ready_at
    assert store.get(future).state is State.SCHEDULED
    assert store.get(other_queue).state is State.SCHEDULED


def test_dispatch_promotes_the_longest_due_first_up_to_its_limit_for_each_queue(store: VirtualStore):
    latest = [store.add(queue=queue, delay=3 * SECOND) for queue in ("a", "b")]
    first = [store.add(queue=queue, delay=delay * SECOND) for queue in ("a", "b") for delay in (1, 2)]
    store.advance(MINUTE)

    assert Counter(store.dispatch("a", "b", limit=2)) == {"a": 2, "b": 2}

    assert {store.get(command_id).state for command_id in first} == {State.PENDING}
    assert {store.get(command_id).state for command_id in latest} == {State.SCHEDULED}
    assert Counter(store.dispatch("a", "b", limit=2)) == {"a": 1, "b": 1}
    assert store.dispatch("a", "b") == []


def test_after_dispatch_a_due_command_is_weighed_by_priority(store: VirtualStore):
    urgent = store.add(delay=2 * SECOND, priority=9)
    store.enqueue(*(new_command(delay=SECOND) for _ in range(5)))
    store.advance(MINUTE)

    store.dispatch()

    assert store.claim_one(limit=1).id == urgent


def test_rescue_takes_back_the_leases_that_ran_out_in_any_queue(store: VirtualStore):
    abandoned = {store.start(queue=queue).id for queue in ("a", "b", "b")}
    store.advance(SECOND)
    alive = store.start(queue="a")
    store.advance(LEASE - SECOND)

    assert Counter(store.rescue()) == {"a": 1, "b": 2}

    assert {store.get(command_id).state for command_id in abandoned} == {State.PENDING}
    assert store.get(alive.id).state is State.STARTED
    assert store.rescue() == []


def test_a_rescued_command_is_ready_at_once_with_its_crash_in_the_history(store: VirtualStore):
    abandoned = store.start(retries=1)
    store.advance(MINUTE)

    store.rescue()

    rescued = store.get(abandoned.id)
    assert (rescued.state, rescued.attempt, rescued.lease_number) == (State.PENDING, 1, 1)
    assert (rescued.lease_expires_at, rescued.started_at, rescued.worker) == (None, None, None)
    assert rescued.ready_at == START + MINUTE
    assert rescued.history == (
        PastAttempt(
            attempt=1,
            lease_number=1,
            outcome="crashed",
            ended_at=START + MINUTE,
            started_at=START,
            worker="worker",
            error=None,
        ),
    )


def test_rescue_takes_back_the_longest_abandoned_first_up_to_its_limit(store: VirtualStore):
    order = []
    for _ in range(4):
        order.append(store.start().id)
        store.advance(SECOND)
    store.advance(LEASE)

    assert store.rescue(limit=3) == [QUEUE] * 3

    assert [store.get(command_id).state for command_id in order] == [State.PENDING] * 3 + [State.STARTED]


def test_a_lease_is_rescued_once(store: VirtualStore):
    store.start()
    store.advance(LEASE)

    assert [store.rescue(), store.rescue()] == [[QUEUE], []]


def test_nothing_is_due_in_an_empty_queue(store: VirtualStore):
    store.add(queue="other", delay=SECOND)
    store.start(queue="third")

    assert store.next_due() is None
    assert store.next_due("nobody", "nothing") is None


def test_what_is_pending_does_not_become_ready_it_is(store: VirtualStore):
    store.add()

    assert store.next_due() is None


def test_the_next_due_moment_is_the_earliest_of_schedules_and_leases(store: VirtualStore):
    store.add(queue="a", delay=timedelta(hours=1))
    assert store.next_due("a", "b") == timedelta(hours=1)

    store.add(queue="b", delay=timedelta(seconds=40.000249))
    assert store.next_due("a", "b") == timedelta(seconds=40.000249)
    assert store.next_due("a") == timedelta(hours=1)

    attempt = store.start(queue="a")
    assert store.next_due("a", "b") == LEASE

    store.advance(LEASE)
    assert store.next_due("a", "b") == timedelta(0)
    store.advance(SECOND)
    assert store.next_due("a", "b") == -SECOND

    (attempt,) = store.claim("a")
    store.settle(attempt, Returned())
    assert store.next_due("a", "b") == timedelta(seconds=40.000249) - LEASE - SECOND


def test_a_retry_is_due_after_its_backoff(store: VirtualStore):
    attempt = store.start(retries=1, backoff={"kind": "constant", "delay": 7})

    store.settle(attempt, Failed(error_info()))

    assert store.next_due() == timedelta(seconds=7)


@pytest.mark.parametrize("late", [timedelta(0), SECOND], ids=["on time", "late"])
def test_due_queues_are_told_apart_from_those_that_wait(store: VirtualStore, late: timedelta):
    store.add(queue="ready")
    store.add(queue="both")
    store.add(queue="both", delay=MINUTE)
    store.add(queue="soon", delay=MINUTE)
    store.add(queue="soon", delay=MINUTE + SECOND)
    store.add(queue="later", delay=MINUTE + 5 * SECOND)
    store.add(queue="not asked", delay=SECOND)
    store.start(queue="started")
    store.advance(MINUTE + late - SECOND)

    assert store.due("ready", "both", "soon", "later", "started", "empty") == {
        "ready": timedelta(0),
        "both": timedelta(0),
        "soon": max(SECOND - late, timedelta(0)),
        "later": 6 * SECOND - late,
    }


def test_a_queue_that_is_overdue_is_due_now(store: VirtualStore):
    store.add(delay=SECOND)
    store.advance(MINUTE)

    assert store.due() == {QUEUE: timedelta(0)}


@pytest.mark.parametrize("far", [timedelta(days=2), timedelta(days=3650)])
def test_however_late_it_is_what_will_be_due_is_known(store: VirtualStore, far: timedelta):
    store.add(delay=far)

    assert store.due() == {QUEUE: far}
