"""Ends that come at the same moment: each is counted, and exactly one transaction hands over what was waited for."""

from concurrent.futures import Future
from datetime import timedelta

import pytest
from factories import QUEUE, START, error_info, new_command, new_join
from joining import claim, claim_all, end
from racing import ChangedItsMind, Stage, at_once
from virtual_store import VirtualStore

from durex_core.model import Command, Extras, State
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Expired, Failed, Returned
from durex_core.store import commands, joins, rows
from durex_core.store.commands import Settled
from durex_core.store.database import Connection, Database

HOUR = timedelta(hours=1)
AT_ONCE = 8


def returned(stage: Stage, connection: Connection, attempt: Command) -> list[str]:
    """End an attempt in an open transaction; return the queues that it woke."""
    settlement = decide(attempt, Returned(str(attempt.id)), 0.5)
    return commands.settle(connection, [settlement], now=stage.store.now).woken


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first is first", "last is first"])
def test_of_two_transactions_that_end_the_last_two_the_later_one_hands_over_both(stage: Stage, order: tuple[int, int]):
    waiting, *children = new_join(3)
    stage.store.enqueue(waiting, *children)
    attempts = claim_all(stage.store)
    end(stage.store, (attempts[children[2].id], Returned(str(children[2].id))))
    early, late = (attempts[children[position].id] for position in order)

    with stage.held_open() as connection:
        assert returned(stage, connection, early) == []
        running: Future[Settled] = stage.runs_into_it(
            lambda: stage.store.end(decide(late, Returned(str(late.id)), 0.5))
        )

    assert running.result().woken == [QUEUE]
    ready = stage.store.claim_one()
    assert [child.id for child in ready.children] == [child.id for child in children]
    assert [child.result for child in ready.children] == [str(child.id) for child in children]
    assert stage.store.count("joined") == 0


def test_an_end_that_waited_for_one_that_rolled_back_is_not_the_last(stage: Stage):
    waiting, *children = new_join(2)
    stage.store.enqueue(waiting, *children)
    early, late = claim_all(stage.store).values()

    with stage.held_open() as connection:
        returned(stage, connection, early)
        running: Future[Settled] = stage.runs_into_it(lambda: stage.store.end(decide(late, Returned(), 0.5)))
        raise ChangedItsMind

    assert running.result().woken == []
    assert stage.store.get(waiting.id).awaits == 1
    assert end(stage.store, (early, Returned())) == [QUEUE]


@pytest.mark.parametrize("stored", ["in the order of their ids", "the other way round"])
@pytest.mark.parametrize("ended", ["in the order of their ids", "the other way round"])
def test_transactions_that_end_children_of_the_same_two_commands_do_not_lock_each_other_out(
    stage: Stage, stored: str, ended: str
):
    """Each counts in the order of the ids of those that wait, however these were stored, and their children ended."""
    first, second = joined = sorted((new_join(2, queue=queue) for queue in "ab"), key=lambda join: join[0].id)
    for join in joined if stored == "in the order of their ids" else reversed(joined):
        stage.store.enqueue(*join)
    attempts = claim_all(stage.store)
    late = [attempts[join[2].id] for join in (joined if ended == "in the order of their ids" else reversed(joined))]

    def end_once() -> list[str]:
        with stage.database.transaction() as connection:
            settlements = [decide(attempt, Returned(), 0.5) for attempt in late]
            return commands.settle(connection, settlements, now=START).woken

    with stage.held_open() as connection:
        returned(stage, connection, attempts[first[1].id])
        running = stage.runs_into_it(end_once)
        # The other one waits for the first command, and holds nothing of the second.
        returned(stage, connection, attempts[second[1].id])

    assert sorted(running.result()) == ["a", "b"]


def test_one_end_that_is_told_twice_at_the_same_moment_counts_once(stage: Stage):
    waiting, child, _ = new_join(2)
    stage.store.enqueue(waiting, child)
    arrival = rows.arrival_row(claim(stage.store, child), State.COMPLETED, "told", None)

    def tell() -> list[str]:
        return stage.database.transact(lambda connection: joins.arrive(connection, [arrival], now=START))

    with stage.held_open() as connection:
        assert joins.arrive(connection, [arrival], now=START) == []
        running = stage.runs_into_it(tell)

    assert running.result() == []
    assert (stage.store.get(waiting.id).awaits, stage.store.count("joined")) == (1, 1)


def test_different_ends_of_one_child_at_the_same_moment_count_once_and_the_first_is_kept(stage: Stage):
    waiting, child, _ = new_join(2, allow_failures=True)
    again = new_command(queue="children", join_id=waiting.id, extras=child.extras)
    stage.store.enqueue(waiting, child, again)
    attempts = claim_all(stage.store)

    with stage.held_open() as connection:
        returned(stage, connection, attempts[child.id])
        failure = decide(attempts[again.id], Failed(error_info(), retryable=False), 0.5)
        running: Future[Settled] = stage.runs_into_it(lambda: stage.store.end(failure))

    assert running.result().woken == []
    assert stage.store.get(waiting.id).awaits == 1
    last = new_command(queue="children", join_id=waiting.id, extras=Extras(join_position=1))
    stage.store.enqueue(last)
    end(stage.store, (claim(stage.store, last), Returned()))
    assert [child.state for child in stage.store.claim_one().children] == [State.COMPLETED, State.COMPLETED]


def test_an_end_that_waited_for_a_cancellation_of_the_one_that_waits_is_let_go(stage: Stage):
    waiting, child = new_join(1)
    stage.store.enqueue(waiting, child)
    attempt = claim(stage.store, child)

    with stage.held_open() as connection:
        commands.cancel(connection, [waiting.id], "by hand", now=START)
        running: Future[Settled] = stage.runs_into_it(lambda: stage.store.end(decide(attempt, Returned(), 0.5)))

    assert running.result() == Settled(set(), [])
    assert stage.store.get(waiting.id).state is State.CANCELLED
    assert stage.store.prune_joins() == 1


def test_an_end_that_waited_for_a_claim_of_what_is_overdue_is_let_go(stage: Stage):
    waiting, child = new_join(1, then={"deadline_at": START + HOUR})
    stage.store.enqueue(waiting, child)
    attempt = claim(stage.store, child)
    stage.store.heartbeat(attempt, lease=2 * HOUR)
    stage.store.advance(HOUR)

    with stage.held_open() as connection:
        (overdue,) = commands.claim(connection, [QUEUE], limit=1, lease=HOUR, worker="w", now=stage.store.now).commands
        running: Future[Settled] = stage.runs_into_it(lambda: stage.store.end(decide(attempt, Returned(), 0.5)))

    assert running.result().woken == []
    assert stage.store.get(waiting.id) == overdue
    assert stage.store.settle(overdue, Expired())


def test_a_claim_passes_over_one_that_waits_whose_last_end_is_being_counted(stage: Stage):
    waiting, child = new_join(1, then={"deadline_at": START + HOUR})
    stage.store.enqueue(waiting, child)
    attempt = claim(stage.store, child)
    stage.store.heartbeat(attempt, lease=2 * HOUR)
    stage.store.advance(HOUR)

    with stage.held_open() as connection:
        assert returned(stage, connection, attempt) == [QUEUE]
        assert stage.store.claim() == []

    overdue = stage.store.claim_one()
    assert (overdue.is_overdue, len(overdue.children)) == (True, 1)


def test_a_cancellation_that_waited_for_the_last_end_cancels_what_is_ready(stage: Stage):
    waiting, child = new_join(1)
    stage.store.enqueue(waiting, child)
    attempt = claim(stage.store, child)

    with stage.held_open() as connection:
        assert returned(stage, connection, attempt) == [QUEUE]
        running = stage.runs_into_it(lambda: stage.store.cancel(waiting.id))

    (cancelled,), woken = running.result()
    assert (cancelled.id, woken, len(cancelled.children)) == (waiting.id, [], 1)
    assert stage.store.count("joined") == 0


def test_of_threads_that_end_all_children_at_once_one_hands_them_over(database: Database):
    store = VirtualStore(database)
    waiting, *children = new_join(AT_ONCE)
    store.enqueue(waiting, *children)
    attempts = claim_all(store)

    woken = at_once(
        AT_ONCE, lambda number: store.end(decide(attempts[children[number].id], Returned(number), 0.5)).woken
    )

    assert sorted(woken) == [[]] * (AT_ONCE - 1) + [[QUEUE]]
    assert [child.result for child in store.claim_one().children] == list(range(AT_ONCE))
    assert store.count("joined") == 0
