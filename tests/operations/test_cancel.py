"""Cancelling one command, or all that a query finds: what is refused, and who hears of it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from factories import new_command
from listener import Listener
from virtual_store import VirtualStore

from durex_core.errors import CommandNotFound, InvalidQuery, NotAllowed
from durex_core.ids import new_id
from durex_core.model import Command, ErrorInfo, Extras, State
from durex_core.observer import Observers
from durex_core.operations import cancel as operations
from durex_core.operations import revive
from durex_core.operations.after import After
from durex_core.queries import make_query
from durex_core.rules.outcomes import Returned

MINUTE = timedelta(minutes=1)


def cancel_many(store: VirtualStore, after: After, *, reason: str | None = None, **filters: Any) -> list[UUID]:
    return operations.cancel_many(store.database, after, make_query(filters), reason)


def test_a_command_is_cancelled_and_observers_hear_of_it(store: VirtualStore, after: After, heard: Listener):
    command_id = store.add()

    cancelled = operations.cancel(store.database, after, command_id, "a slip")

    assert cancelled == store.get(command_id)
    assert (cancelled.state, cancelled.error) == (State.CANCELLED, ErrorInfo("Cancelled", "a slip"))
    assert (heard.ended, heard.woken) == ([cancelled], [])


def test_a_reason_is_given_where_there_is_none(store: VirtualStore, after: After):
    cancelled = operations.cancel(store.database, after, store.add(), None)

    assert cancelled.error == ErrorInfo("Cancelled", "somebody cancelled it")


def test_a_running_attempt_loses_its_lease(store: VirtualStore, after: After):
    attempt = store.start()

    operations.cancel(store.database, after, attempt.id, None)

    assert not store.heartbeat(attempt)
    assert not store.settle(attempt, Returned())


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
def test_a_command_that_has_ended_is_refused_by_its_state(
    store: VirtualStore, after: After, heard: Listener, state: State
):
    attempt = store.start()
    if state is State.COMPLETED:
        store.settle(attempt, Returned())
    else:
        store.cancel(attempt.id)
    before = store.rows()

    with pytest.raises(NotAllowed, match=f"{attempt.id} is {state} already; only live commands"):
        operations.cancel(store.database, after, attempt.id, None)

    assert (store.rows(), heard.ended) == (before, [])


def test_an_unknown_command_is_not_found(store: VirtualStore, after: After):
    with pytest.raises(CommandNotFound):
        operations.cancel(store.database, after, new_id(), None)


def test_whoever_waited_for_a_cancelled_command_is_woken(store: VirtualStore, after: After, heard: Listener):
    parent = store.add(queue="parent", awaits=1, extras=Extras(allow_failures=True))
    child = store.add(join_id=parent, extras=Extras(join_position=0))

    operations.cancel(store.database, after, child, None)

    assert heard.woken == ["parent"]
    assert store.get(parent).state is State.PENDING


@pytest.mark.parametrize("reason", ["", "x" * 1001, "\x00", "\x1b[31m", "\ud800", 7])
def test_a_reason_that_cannot_be_kept_is_refused(store: VirtualStore, after: After, reason: Any):
    command_id = store.add()

    with pytest.raises(InvalidQuery) as refused:
        operations.cancel(store.database, after, command_id, reason)
    with pytest.raises(InvalidQuery):
        cancel_many(store, after, tag="a", reason=reason)

    assert refused.value.field == "reason"
    assert store.get(command_id).state is State.PENDING


def test_a_reason_may_have_lines(store: VirtualStore, after: After):
    cancelled = operations.cancel(store.database, after, store.add(), "first,\n\tsecond é")

    assert cancelled.error == ErrorInfo("Cancelled", "first,\n\tsecond é")


@pytest.mark.parametrize(
    ("options", "filters"),
    [
        ({"tags": ("a", "b")}, {"tag": "a"}),
        ({"tags": ("a", "b")}, {"tags": ["b", "a"]}),
        ({"unique_key": "u"}, {"unique_key": "u"}),
        ({"correlation_id": "c"}, {"correlation_id": "c"}),
        ({"parent_id": UUID(int=7)}, {"parent_id": UUID(int=7)}),
        ({"name": "other"}, {"name": "other"}),
        ({"queue": "other"}, {"queue": "other"}),
        ({"delay": MINUTE}, {"state": "scheduled"}),
        ({"payload": {"a": [1]}}, {"payload": {"a.0": 1}}),
    ],
)
def test_what_a_query_finds_is_cancelled_and_nothing_else(
    store: VirtualStore, after: After, heard: Listener, options: dict[str, Any], filters: dict[str, Any]
):
    wanted, other = store.add(**options), store.add()

    assert cancel_many(store, after, **filters, reason="enough") == [wanted]
    assert store.get(wanted).error == ErrorInfo("Cancelled", "enough")
    assert (store.get(other).state, [command.id for command in heard.ended]) == (State.PENDING, [wanted])


def test_live_commands_of_every_state_are_cancelled_and_finished_ones_left(store: VirtualStore, after: After):
    done = store.start(tags=("a",))
    store.settle(done, Returned())
    live = [store.add(tags=("a",), **options) for options in ({}, {"delay": MINUTE}, {"awaits": 1})]
    live.append(store.start(tags=("a",), queue="other").id)

    assert sorted(cancel_many(store, after, tag="a")) == sorted(live)
    assert store.get(done.id).state is State.COMPLETED
    assert cancel_many(store, after, tag="a") == []


def test_many_are_cancelled_a_bounded_number_at_a_time(
    store: VirtualStore, after: After, heard: Listener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(operations, "_AT_ONCE", 2)
    ids = [answer.id for answer in store.enqueue(*(new_command(tags=("a",)) for _ in range(5)))]

    assert cancel_many(store, after, tag="a") == sorted(ids)
    assert len(heard.ended) == 5


def test_what_is_retried_meanwhile_is_not_cancelled_again_and_again(store: VirtualStore):
    class Stubborn(Listener):
        """Retries what is cancelled, once."""

        def cancelled(self, commands: Sequence[Command]) -> None:
            known = {command.id for command in self.ended}
            super().cancelled(commands)
            for command in commands:
                if command.id not in known:
                    revive.retry(store.database, After(self, Observers()), command.id)

    ids = [answer.id for answer in store.enqueue(*(new_command(tags=("a",)) for _ in range(3)))]
    stubborn = Stubborn()

    assert cancel_many(store, After(stubborn, Observers([stubborn])), tag="a") == sorted(ids)
    assert (len(stubborn.ended), store.count("commands")) == (3, 3)


def test_more_than_a_batch_is_cancelled(store: VirtualStore, after: After):
    store.enqueue(*(new_command(tags=("a",)) for _ in range(1100)))

    assert len(cancel_many(store, after, tag="a")) == 1100
    assert (store.count("commands"), store.count("finished_commands")) == (0, 1100)


def test_a_parent_and_its_children_may_be_cancelled_at_once(store: VirtualStore, after: After, heard: Listener):
    parent = store.add(queue="parent", awaits=2, tags=("a",))
    for position in range(2):
        store.add(join_id=parent, extras=Extras(join_position=position), tags=("a",))

    assert len(cancel_many(store, after, tag="a")) == 3
    assert (heard.woken, store.count("commands"), store.count("joined")) == ([], 0, 0)


def test_without_a_filter_nothing_is_cancelled(store: VirtualStore, after: After):
    command_id = store.add()

    for filters in ({}, {"limit": 5}, {"descending": False, "tag": None}):
        with pytest.raises(InvalidQuery, match="query: narrow it by at least one filter"):
            cancel_many(store, after, **filters)

    assert store.get(command_id).state is State.PENDING


def test_finished_states_are_refused(store: VirtualStore, after: After):
    with pytest.raises(InvalidQuery, match=r"states: completed commands have ended .*; there are scheduled, pending"):
        cancel_many(store, after, states=["pending", "completed"])
