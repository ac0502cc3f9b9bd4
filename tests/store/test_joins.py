"""A command that waits for others: each end is counted once, and the last one hands it all of them in their order."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from factories import LEASE, QUEUE, START, error_info, new_command, new_join
from joining import claim, claim_all, end
from virtual_store import VirtualStore

from durex_core.model import ChildResult, ErrorInfo, Extras, NewCommand, State
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Cancelled, Expired, Failed, Released, Repeated, Returned
from durex_core.store import commands

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
UNDONE = Failed(error_info(), retryable=False)


def test_a_command_that_waits_is_not_claimed(store: VirtualStore):
    waiting, *_ = new_join(2)
    store.enqueue(waiting)
    store.advance(timedelta(days=1000))

    assert store.claim() == []
    assert store.dispatch() == []
    assert store.next_due() is None
    assert store.due() == {}


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]], ids=str)
def test_the_last_end_hands_over_all_results_in_the_order_of_their_positions(store: VirtualStore, order: list[int]):
    waiting, *children = new_join(3)
    store.enqueue(waiting, *children)
    attempts = claim_all(store)

    for left, position in zip((2, 1), order[:2], strict=True):
        assert end(store, (attempts[children[position].id], Returned(f"result {position}"))) == []
        assert (store.get(waiting.id).state, store.get(waiting.id).awaits) == (State.WAITING, left)
        assert store.get(waiting.id).children == ()
        assert store.claim() == []
    store.advance(SECOND)
    assert end(store, (attempts[children[order[2]].id], Returned(f"result {order[2]}"))) == [QUEUE]

    ready = store.get(waiting.id)
    assert (ready.state, ready.awaits, ready.ready_at, ready.ending) == (State.PENDING, 0, START + SECOND, None)
    assert ready.children == tuple(
        ChildResult(position, child.id, "children", State.COMPLETED, f"result {position}")
        for position, child in enumerate(children)
    )
    assert store.count("joined") == 0
    assert store.claim_one().attempt == 1


def test_all_may_end_in_one_transaction(store: VirtualStore):
    waiting, *children = new_join(5)
    store.enqueue(waiting, *children)
    attempts = claim_all(store)

    assert end(store, *((attempt, Returned(str(attempt.id))) for attempt in attempts.values())) == [QUEUE]

    assert [child.result for child in store.get(waiting.id).children] == [str(child.id) for child in children]


def test_ends_for_several_commands_that_wait_are_told_apart(store: VirtualStore):
    joins = [new_join(2, queue=queue) for queue in ("a", "b", "c")]
    store.enqueue(*(command for join in joins for command in join))
    attempts = claim_all(store)
    last = attempts[joins[2][2].id]

    woken = end(store, *((attempt, Returned()) for attempt in attempts.values() if attempt is not last))

    assert sorted(woken) == ["a", "b"]
    assert [store.get(join[0].id).awaits for join in joins] == [0, 0, 1]
    assert end(store, (last, Returned())) == ["c"]


RESULTS: dict[str, Any] = {
    "null": None,
    "false": False,
    "a float": 1.0,
    "a big integer": 2**80,
    "nested": {"b": [1, 2.5, {"größe": None}], "a": "你好 ' \" \\"},
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_a_result_is_handed_over_as_it_was_returned(store: VirtualStore, result: Any):
    waiting, child = new_join(1)
    store.enqueue(waiting, child)

    end(store, (claim(store, child), Returned(result)))

    (told,) = store.claim_one().children
    assert told.result == result
    assert type(told.result) is type(result)


# How a command may end that another one waits for.


def failed(store: VirtualStore, child: NewCommand) -> list[str]:
    return end(store, (claim(store, child), UNDONE))


def expired(store: VirtualStore, child: NewCommand) -> list[str]:
    return end(store, (claim(store, child), Expired(error_info())))


def cancelled_by_its_handler(store: VirtualStore, child: NewCommand) -> list[str]:
    return end(store, (claim(store, child), Cancelled("not wanted")))


def cancelled(store: VirtualStore, child: NewCommand) -> list[str]:
    return store.cancel(child.id, reason="not wanted")[1]


def crashed(store: VirtualStore, child: NewCommand) -> list[str]:
    claim(store, child)
    store.advance(LEASE)
    return end(store, (claim(store, child), Returned("whatever it says")))


NOT_COMPLETED: list[tuple[Callable[[VirtualStore, NewCommand], list[str]], State]] = [
    (failed, State.DEAD_LETTER),
    (crashed, State.DEAD_LETTER),
    (expired, State.EXPIRED),
    (cancelled_by_its_handler, State.CANCELLED),
    (cancelled, State.CANCELLED),
]


@pytest.mark.parametrize(("ends", "state"), NOT_COMPLETED)
def test_one_that_did_not_complete_leaves_the_command_that_waited_to_fail(
    store: VirtualStore, ends: Callable[[VirtualStore, NewCommand], list[str]], state: State
):
    waiting, *children = new_join(2)
    store.enqueue(waiting, children[0])
    end(store, (claim(store, children[0]), Returned("fine")))
    store.enqueue(children[1])

    assert ends(store, children[1]) == [QUEUE]

    left = store.claim_one()
    assert (left.attempt, left.ending) == (0, "failed")
    assert [child.state for child in left.children] == [State.COMPLETED, state]
    assert left.children[1].error is not None
    assert store.settle(left, Returned("whatever it says"))
    dead = store.get(waiting.id)
    assert (dead.state, dead.attempt, dead.children) == (State.DEAD_LETTER, 0, left.children)
    assert dead.error == ErrorInfo(
        "ChildrenFailed",
        f"1 of the 2 commands that it waited for did not complete: 1 (children {children[1].id}) {state}",
    )


def test_a_failure_without_the_dead_letter_queue_is_a_failure_too(store: VirtualStore):
    waiting, child = new_join(1, dead_letter=False)
    store.enqueue(waiting, child)

    failed(store, child)

    assert store.claim_one().children[0].state is State.FAILED


@pytest.mark.parametrize(("ends", "state"), NOT_COMPLETED)
def test_where_failures_are_allowed_the_command_that_waited_runs_all_the_same(
    store: VirtualStore, ends: Callable[[VirtualStore, NewCommand], list[str]], state: State
):
    waiting, child = new_join(1, allow_failures=True)
    store.enqueue(waiting, child)

    assert ends(store, child) == [QUEUE]

    attempt = store.claim_one()
    assert (attempt.attempt, attempt.ending) == (1, None)
    assert [told.state for told in attempt.children] == [state]
    assert store.settle(attempt, Returned("done"))
    assert store.get(waiting.id).state is State.COMPLETED


def test_the_error_of_a_child_is_handed_over(store: VirtualStore):
    waiting, child = new_join(1, allow_failures=True)
    store.enqueue(waiting, child)

    failed(store, child)

    (told,) = store.claim_one().children
    assert told == ChildResult(0, child.id, "children", State.DEAD_LETTER, None, error_info())


def test_an_attempt_that_does_not_end_its_command_is_no_end(store: VirtualStore):
    waiting, child = new_join(1, retries=3)
    store.enqueue(waiting, child)

    for outcome in (Failed(error_info()), Released("stopping"), Repeated(delay=timedelta(0)), Repeated()):
        assert end(store, (claim(store, child), outcome)) == []
        assert store.get(waiting.id).awaits == 1
    store.advance(MINUTE)
    claim(store, child)
    store.advance(LEASE)
    assert store.rescue() == ["children"]
    assert store.count("joined") == 0

    assert end(store, (claim(store, child), Returned("the last run"))) == [QUEUE]
    assert store.claim_one().children[0].result == "the last run"


def test_a_command_that_waited_and_repeats_hands_nothing_on_to_its_next_run(store: VirtualStore):
    waiting, child = new_join(1)
    store.enqueue(waiting, child)
    end(store, (claim(store, child), Returned("once")))

    assert store.settle(store.claim_one(), Repeated(delay=timedelta(0)))

    following = store.claim_one()
    assert (following.run, following.children, following.awaits, following.ending) == (2, (), 0, None)
    assert [len(run.children) for run in store.runs(waiting.id)] == [1, 0]


def test_a_retry_of_a_command_that_waited_has_its_children_still(store: VirtualStore):
    waiting, child = new_join(1, then={"retries": 1})
    store.enqueue(waiting, child)
    end(store, (claim(store, child), Returned("once")))
    first = store.claim_one()

    store.settle(first, Failed(error_info()))

    assert store.claim_one().children == first.children != ()


def test_the_end_of_one_that_is_waited_for_takes_more_than_one_statement(store: VirtualStore):
    waiting, child = new_join(1)
    store.enqueue(waiting, child)
    attempt = claim(store, child)

    assert not commands.is_one_statement([decide(attempt, Returned(), 0.5)])


def test_a_sequence_ends_for_the_one_that_waits_with_its_last_command(store: VirtualStore):
    waiting, first = new_join(1)
    second = new_command(queue="children", join_id=waiting.id, extras=first.extras)
    store.enqueue(waiting, first)

    assert end(store, (claim(store, first), Returned("so far", (second,)))) == []
    assert (store.get(waiting.id).awaits, store.count("joined")) == (1, 0)
    assert end(store, (claim(store, second), Returned("in the end"))) == [QUEUE]

    (told,) = store.claim_one().children
    assert (told.id, told.result) == (second.id, "in the end")


def test_a_sequence_that_fails_midway_ends_for_the_one_that_waits(store: VirtualStore):
    waiting, first = new_join(1)
    second = new_command(queue="children", join_id=waiting.id, extras=first.extras)
    store.enqueue(waiting, first)
    end(store, (claim(store, first), Returned("so far", (second,))))

    assert end(store, (claim(store, second), UNDONE)) == [QUEUE]

    assert [told.id for told in store.claim_one().children] == [second.id]


def test_children_of_another_join_do_not_keep_a_command_from_ending_its_part(store: VirtualStore):
    waiting, child = new_join(1)
    store.enqueue(waiting, child)

    assert end(store, (claim(store, child), Returned("done", new_join(2)))) == [QUEUE]


def test_a_zombie_is_no_end(store: VirtualStore):
    waiting, child = new_join(1, retries=3)
    store.enqueue(waiting, child)
    zombie = claim(store, child)
    store.advance(LEASE)
    store.rescue()

    assert store.end(decide(zombie, Returned("too late"), 0.5)).woken == []

    assert (store.get(waiting.id).awaits, store.count("joined")) == (1, 0)


def test_a_child_that_ends_twice_counts_once_and_as_it_ended_first(store: VirtualStore):
    """As one does that ended, was revived by a person, and ended again."""
    waiting, first, _second = new_join(2, allow_failures=True)
    store.enqueue(waiting, first)
    failed(store, first)
    again = new_command(queue="children", join_id=waiting.id, extras=first.extras)
    store.enqueue(again)

    assert end(store, (claim(store, again), Returned("again"))) == []

    assert (store.get(waiting.id).awaits, store.count("joined")) == (1, 1)
    last = new_command(queue="children", join_id=waiting.id, extras=Extras(join_position=1))
    store.enqueue(last)
    end(store, (claim(store, last), Returned("last")))
    assert [child.state for child in store.claim_one().children] == [State.DEAD_LETTER, State.COMPLETED]


def test_an_end_after_the_last_one_changes_nothing(store: VirtualStore):
    waiting, child = new_join(1)
    store.enqueue(waiting, child)
    end(store, (claim(store, child), Returned("once")))
    again = new_command(queue="children", join_id=waiting.id, extras=Extras(join_position=1))
    store.enqueue(again)
    attempt = claim(store, again)
    before = store.get(waiting.id)

    assert end(store, (attempt, Returned("again"))) == []

    assert store.get(waiting.id) == before
    assert store.count("joined") == 0


def test_a_command_may_wait_for_another_one_that_waits(store: VirtualStore):
    last, middle = new_join(1)
    middle, inner = new_join(1, queue="children", then={"id": middle.id, "join_id": last.id, "extras": middle.extras})
    store.enqueue(last, middle, inner)

    assert end(store, (claim(store, inner), Returned("inner"))) == ["children"]
    assert end(store, (claim(store, middle), Returned("outer"))) == [QUEUE]

    assert [child.result for child in store.claim_one().children] == ["outer"]


def test_without_anything_to_wait_for_a_command_is_ready_at_once(store: VirtualStore):
    (then,) = new_join(0)

    store.enqueue(then)

    assert (store.get(then.id).state, store.claim_one().children) == (State.PENDING, ())


def test_a_parent_stores_the_join_with_its_own_end_or_not_at_all(store: VirtualStore):
    parent = store.start(queue="parents")
    join = new_join(2)
    taken = store.add(queue="elsewhere")
    before = store.rows()

    with pytest.raises(Exception, match="commands/enqueue"):
        store.settle(parent, Returned(None, (*join, new_command(id=taken))))
    assert store.rows() == before

    assert store.settle(parent, Returned(None, join))
    assert store.get(parent.id).state is State.COMPLETED
    assert (store.get(join[0].id).awaits, len(claim_all(store))) == (2, 2)
