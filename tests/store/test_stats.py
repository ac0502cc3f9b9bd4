"""Statistics: how many commands each queue has in each state, and for how long the oldest ready one has waited."""

from datetime import timedelta

import pytest
from factories import LEASE, error_info
from virtual_store import VirtualStore

from durex_core.errors import InvalidQuery
from durex_core.model import State
from durex_core.operations import find as operation
from durex_core.queries import DAY, QueueStats, Stats
from durex_core.rules.outcomes import Failed, Repeated, Returned
from durex_core.store.stats import stats

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def count(store: VirtualStore, within: timedelta = DAY) -> Stats:
    with store.database.autocommit() as connection:
        return stats(connection, within, now=store.now)


def one_queue(store: VirtualStore) -> QueueStats:
    (queue,) = count(store).queues
    return queue


def test_an_empty_store_has_nothing_of_anything(store: VirtualStore):
    empty = count(store)

    assert empty == Stats((), DAY)
    assert (empty.ready, empty.states) == (0, dict.fromkeys(State, 0))


def test_commands_are_counted_by_queue_and_state(store: VirtualStore):
    store.settle(store.start(queue="b"), Returned())
    store.settle(store.start(queue="b"), Failed(error_info()))
    store.start(queue="b")
    for _ in range(2):
        store.add(queue="a")
    store.add(queue="a", delay=MINUTE)
    store.add(queue="a", awaits=1)

    counted = count(store)

    a, b = counted.queues
    assert (a.queue, a.live, a.finished, a.ready) == (
        "a", {State.PENDING: 2, State.SCHEDULED: 1, State.WAITING: 1}, {}, 2
    )  # fmt: skip
    assert (b.queue, b.live, b.finished, b.ready) == (
        "b", {State.STARTED: 1}, {State.COMPLETED: 1, State.DEAD_LETTER: 1}, 0
    )  # fmt: skip
    assert counted.ready == 2
    assert {state: number for state, number in counted.states.items() if number} == {
        State.PENDING: 2,
        State.SCHEDULED: 1,
        State.WAITING: 1,
        State.STARTED: 1,
        State.COMPLETED: 1,
        State.DEAD_LETTER: 1,
    }


def test_the_oldest_ready_command_tells_for_how_long_it_has_been_ready(store: VirtualStore):
    store.add()
    store.advance(MINUTE)
    store.add()
    store.advance(SECOND)

    assert one_queue(store).oldest_ready_age == MINUTE + SECOND


def test_a_command_whose_time_has_come_is_ready_since_then(store: VirtualStore):
    store.add(delay=MINUTE)
    assert (one_queue(store).ready, one_queue(store).oldest_ready_age) == (0, None)

    store.advance(MINUTE)
    assert (one_queue(store).ready, one_queue(store).oldest_ready_age) == (1, timedelta(0))
    store.advance(SECOND)
    assert one_queue(store).oldest_ready_age == SECOND


def test_so_is_one_that_repeats(store: VirtualStore):
    store.settle(store.start(), Repeated(delay=MINUTE))
    assert one_queue(store).ready == 0

    store.advance(MINUTE + SECOND)
    assert (one_queue(store).ready, one_queue(store).oldest_ready_age) == (1, SECOND)


def test_waiting_and_started_commands_are_not_ready(store: VirtualStore):
    store.start()
    store.add(awaits=1)
    store.advance(10 * LEASE)

    assert (one_queue(store).ready, one_queue(store).oldest_ready_age) == (0, None)


def test_an_age_is_never_negative(store: VirtualStore):
    store.add()
    store.advance(-MINUTE)

    assert (one_queue(store).ready, one_queue(store).oldest_ready_age) == (1, timedelta(0))


def test_only_what_finished_lately_is_counted(store: VirtualStore):
    store.settle(store.start(), Returned())
    store.advance(MINUTE)
    store.settle(store.start(), Failed(error_info()))
    store.advance(SECOND)

    assert count(store, MINUTE + 2 * SECOND).queues[0].finished == {State.COMPLETED: 1, State.DEAD_LETTER: 1}
    assert count(store, MINUTE + SECOND).queues[0].finished == {State.DEAD_LETTER: 1}
    assert count(store, SECOND).queues == ()
    assert count(store, timedelta(0)).queues == ()


def test_who_does_not_look_back_counts_nothing_that_finished(store: VirtualStore):
    store.settle(store.start(), Returned())
    store.add()

    (queue,) = count(store, timedelta(0)).queues
    assert (queue.finished, queue.ready) == ({}, 1)


@pytest.mark.parametrize("within", [-SECOND, timedelta(days=3661)])
def test_a_time_to_look_back_that_cannot_be_is_refused(store: VirtualStore, within: timedelta):
    with pytest.raises(InvalidQuery, match="finished_within"):
        operation.stats(store.database, within)
