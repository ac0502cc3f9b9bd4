"""Finished commands are kept for their retention, by class, and dropped a bounded number at a time."""

from datetime import timedelta

import pytest
from factories import START, error_info, new_command
from virtual_store import VirtualStore, drop_partitions

from durex_core.model import Extras, Retention, RetentionPolicy, State
from durex_core.passes.prune import Pruned
from durex_core.passes.prune import prune as prune_pass
from durex_core.rules.outcomes import Failed, Outcome, Repeated, Returned, Settlement
from durex_core.store import finished

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def _row_by_row(store: VirtualStore) -> None:
    drop_partitions(store.database)


def test_a_completed_command_is_dropped_when_its_time_is_over(store: VirtualStore):
    attempt = store.start()
    store.settle(attempt, Returned())

    store.advance(DAY - MICROSECOND)
    assert prune(store, Retention.COMPLETED) == 0
    assert store.find(attempt.id) is not None

    store.advance(MICROSECOND)
    assert prune(store, Retention.COMPLETED) == 1
    assert store.find(attempt.id) is None


@pytest.mark.parametrize("state", [state for state in State if state.is_terminal])
def test_a_finished_command_belongs_to_the_class_of_its_state(store: VirtualStore, state: State):
    store.write(Settlement(store.start(), state, "by hand"))
    store.advance(DAY)
    mine = state.retention
    (other,) = set(Retention) - {mine}

    assert prune(store, other) == 0
    assert prune(store, mine) == 1


@pytest.mark.parametrize("outcome", [Returned(), Failed(error_info())], ids=["completed", "attention"])
def test_the_oldest_go_first_up_to_the_limit(store: VirtualStore, outcome: Outcome):
    order = []
    retention = Retention.COMPLETED if isinstance(outcome, Returned) else Retention.ATTENTION
    for _ in range(5):
        attempt = store.start()
        store.settle(attempt, outcome)
        order.append(attempt.id)
        store.advance(timedelta(minutes=1))
    store.advance(DAY)

    assert prune(store, retention, limit=2) == 2
    assert [store.find(command_id) is not None for command_id in order] == [False, False, True, True, True]
    assert [prune(store, retention, limit=2) for _ in range(3)] == [2, 1, 0]


def test_each_run_of_a_command_that_repeats_is_dropped_when_its_own_time_is_over(store: VirtualStore):
    attempt = store.start()
    for _ in range(3):
        assert store.settle(attempt, Repeated(delay=timedelta(hours=1)))
        store.advance(timedelta(hours=1))
        attempt = store.claim_one()
    store.now = START + DAY + timedelta(hours=1)

    assert prune(store, Retention.COMPLETED) == 2

    assert [run.run for run in store.runs(attempt.id)] == [3, 4]


def test_a_run_that_completed_is_dropped_without_the_one_that_failed_later(store: VirtualStore):
    attempt = store.start()
    store.settle(attempt, Repeated(delay=timedelta(0)))
    store.settle(store.claim_one(), Failed(error_info()))
    store.advance(DAY)

    assert prune(store, Retention.COMPLETED) == 1

    assert store.get(attempt.id).state is State.DEAD_LETTER
    assert prune(store, Retention.ATTENTION) == 1
    assert store.find(attempt.id) is None


def test_live_commands_are_never_dropped(store: VirtualStore):
    store.enqueue(new_command(), new_command(delay=DAY))
    store.start()
    store.advance(timedelta(days=1000))

    assert [prune(store, retention) for retention in Retention] == [0, 0]
    assert store.count("commands") == 3


def test_one_pass_drops_of_every_class_and_keys_too(store: VirtualStore):
    policy = RetentionPolicy(completed=DAY, attention=2 * DAY)
    for _ in range(3):
        store.settle(store.start(), Returned())
        store.settle(store.start(), Failed(error_info()))
    store.add(idempotency_key="request:1", queue="other")
    store.advance(DAY)

    def prune_all() -> tuple[int, int]:
        pruned: Pruned = prune_pass(store.database, policy, limit=2, now=store.now)
        return pruned.commands, pruned.keys

    assert [prune_all(), prune_all(), prune_all()] == [(2, 0), (1, 0), (0, 0)]
    store.advance(14 * DAY)
    assert [prune_all(), prune_all(), prune_all()] == [(2, 1), (1, 0), (0, 0)]


def test_what_is_remembered_for_commands_that_wait_no_longer_is_dropped(store: VirtualStore):
    gone, waiting = (store.add(queue="parent", awaits=2) for _ in range(2))
    for parent in (gone, waiting):
        for position in range(2):
            store.add(join_id=parent, extras=Extras(join_position=position), queue=f"{position}")
    for attempt in store.claim("0"):
        store.settle(attempt, Returned())
    assert store.count("joined") == 2
    store.cancel(gone)

    def prune_all() -> int:
        pruned: Pruned = prune_pass(store.database, RetentionPolicy(), limit=1, now=store.now)
        return pruned.joined

    assert [prune_all(), prune_all()] == [1, 0]
    assert store.count("joined") == 1
    for attempt in store.claim("1"):
        store.settle(attempt, Returned())
    assert len(store.claim_one("parent").children) == 2


def prune(store: VirtualStore, retention: Retention, *, limit: int = 100) -> int:
    return store.database.transact(
        lambda connection: finished.prune(connection, retention, keep=DAY, limit=limit, now=store.now)
    )
