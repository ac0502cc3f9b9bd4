"""What may become of a command while it waits: its time is over, or it is cancelled, and later ends are let go."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from factories import START, compensation, error_info, new_join
from joining import claim, claim_all, end
from virtual_store import VirtualStore

from durex_core.model import Extras, NewCommand, State
from durex_core.rules.outcomes import Expired, Failed, Outcome, Returned

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
UNDONE = Failed(error_info(), retryable=False)


def test_a_deadline_of_a_command_that_waits_bounds_its_wait_too(store: VirtualStore):
    waiting, child = new_join(1, then={"extras": Extras(deadline=MINUTE, start_within=SECOND)})
    store.enqueue(waiting, child)
    # Its start is not late while it is not due.
    assert store.get(waiting.id).expires_at == store.get(waiting.id).deadline_at == START + MINUTE
    store.advance(MINUTE)

    overdue = store.claim_one()

    assert (overdue.is_overdue, overdue.attempt, overdue.children) == (True, 0, ())


@pytest.mark.parametrize(("deadline", "expires"), [(None, SECOND), (HOUR, SECOND), (MINUTE + SECOND / 2, SECOND / 2)])
def test_the_limit_on_the_start_counts_from_the_end_of_the_wait(
    store: VirtualStore, deadline: timedelta | None, expires: timedelta
):
    waiting, child = new_join(1, then={"extras": Extras(deadline=deadline, start_within=SECOND)})
    store.enqueue(waiting, child)
    store.advance(MINUTE)

    end(store, (claim(store, child), Returned()))

    assert store.get(waiting.id).expires_at == store.now + expires
    store.advance(SECOND)
    assert store.claim_one().is_overdue


def test_after_its_wait_a_command_without_deadlines_has_none(store: VirtualStore):
    waiting, child = new_join(1)
    store.enqueue(waiting, child)

    end(store, (claim(store, child), Returned()))

    assert store.get(waiting.id).expires_at is None


def cancelled_meanwhile(store: VirtualStore, waiting: NewCommand) -> None:
    store.cancel(waiting.id)


def expired_meanwhile(store: VirtualStore, waiting: NewCommand) -> None:
    store.now = START + HOUR
    assert store.settle(store.claim_one(), Expired())
    assert store.get(waiting.id).state is State.EXPIRED


def claimed_meanwhile(store: VirtualStore, waiting: NewCommand) -> None:
    """Its time is over, and its hook runs."""
    store.now = START + HOUR
    assert store.claim_one().id == waiting.id


@pytest.mark.parametrize("give_up", [cancelled_meanwhile, expired_meanwhile, claimed_meanwhile])
def test_ends_for_a_command_that_waits_no_more_are_let_go_and_pruned(
    store: VirtualStore, give_up: Callable[[VirtualStore, NewCommand], None]
):
    waiting, *children = new_join(4, then={"deadline_at": START + HOUR})
    other, other_child, _ = new_join(2)
    store.enqueue(waiting, other, other_child, *children)
    attempts = claim_all(store)
    end(store, *((attempts[child.id], Returned()) for child in (*children[:3], other_child)))
    store.heartbeat(*attempts.values(), lease=2 * HOUR)

    give_up(store, waiting)

    assert end(store, (attempts[children[3].id], Returned())) == []
    assert store.get(children[3].id).state is State.COMPLETED
    assert store.count("joined") == 4
    assert [store.prune_joins(limit=2), store.prune_joins(limit=2), store.prune_joins(limit=2)] == [2, 1, 0]
    assert store.count("joined") == 1
    assert store.get(other.id).awaits == 1


def test_a_command_whose_time_was_over_while_it_waited_is_not_told_of_later_ends(store: VirtualStore):
    waiting, child = new_join(1, then={"deadline_at": START + SECOND})
    store.enqueue(waiting, child)
    attempt = claim(store, child)
    store.advance(SECOND)
    ending = store.claim_one()

    assert end(store, (attempt, Returned("too late"))) == []

    assert store.get(waiting.id) == ending
    assert store.settle(ending, Expired())


def test_cancelling_children_and_the_one_that_waits_together_wakes_nobody(store: VirtualStore):
    join = new_join(3)
    store.enqueue(*join)

    commands, woken = store.cancel(*(command.id for command in join))

    assert (len(commands), woken, store.count("joined")) == (4, [], 0)


def test_a_chain_of_compensations_goes_on_one_after_another_whatever_becomes_of_each(store: VirtualStore):
    attempt = store.start()
    undoing = [compensation(name, name=name, queue="children") for name in ("a", "b", "c")]
    assert store.note(attempt, None, *undoing)

    assert store.settle(store.get(attempt.id), UNDONE)

    outcomes: dict[str, Outcome] = {"c": UNDONE, "b": Returned(), "a": Returned("undone")}
    for name, outcome in outcomes.items():
        (step,) = store.claim("children")
        assert (step.name, step.parent_id, step.attempt) == (name, attempt.id, 1)
        store.settle(step, outcome)
    assert store.claim("children") == []
    assert [store.get(step.command.id).state for step in undoing] == [
        State.COMPLETED,
        State.COMPLETED,
        State.DEAD_LETTER,
    ]
