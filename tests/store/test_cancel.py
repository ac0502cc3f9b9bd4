"""Cancelling: whatever lives can be cancelled, an attempt that runs then changes nothing, and those that wait hear."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from factories import LEASE, START, error_info, new_command
from racing import ChangedItsMind, Stage
from virtual_store import VirtualStore

from durex_core.ids import new_id
from durex_core.model import Command, ErrorInfo, Extras, State
from durex_core.queries import make_query
from durex_core.rules.outcomes import Failed, Repeated, Returned
from durex_core.store import commands, finding
from durex_core.store.database import Connection

MINUTE = timedelta(minutes=1)


def repeating(store: VirtualStore) -> UUID:
    attempt = store.start()
    assert store.settle(attempt, Repeated(delay=MINUTE))
    return attempt.id


LIVE = {
    State.PENDING: lambda store: store.add(),
    State.SCHEDULED: lambda store: store.add(delay=MINUTE),
    State.WAITING: lambda store: store.add(awaits=1),
    State.STARTED: lambda store: store.start().id,
    State.REPEATING: repeating,
}


@pytest.mark.parametrize("state", LIVE)
def test_whatever_lives_is_cancelled(store: VirtualStore, state: State):
    command_id = LIVE[state](store)
    assert store.get(command_id).state is state
    store.advance(LEASE / 2)

    (cancelled,), woken = store.cancel(command_id, reason="not wanted")

    assert cancelled == store.get(command_id)
    assert (cancelled.state, cancelled.finished_at, woken) == (State.CANCELLED, store.now, [])
    assert cancelled.error == ErrorInfo("Cancelled", "not wanted")
    assert store.count("commands") == 0
    store.advance(timedelta(days=1))
    assert (store.claim(), store.dispatch(), store.rescue()) == ([], [], [])


@pytest.mark.parametrize("outcome", [Returned("done"), Failed(error_info()), Repeated()])
def test_a_running_attempt_of_a_cancelled_command_changes_nothing(store: VirtualStore, outcome: Any):
    attempt = store.start(retries=3)
    store.cancel(attempt.id)
    before = store.rows()

    assert not store.heartbeat(attempt)
    assert not store.settle(attempt, outcome)
    with store.database.transaction() as connection:
        assert commands.note(connection, [(attempt, "half", [])], now=store.now) == set()
    assert store.rows() == before


def test_children_of_an_attempt_that_was_cancelled_are_not_stored(store: VirtualStore):
    attempt = store.start()
    store.cancel(attempt.id)

    assert not store.settle(attempt, Returned("done", (new_command(),)))

    assert store.count("commands") == 0


def test_what_has_ended_is_not_cancelled(store: VirtualStore):
    attempt = store.start()
    store.settle(attempt, Returned("done"))
    before = store.rows()

    assert store.cancel(attempt.id) == ([], [])
    assert store.rows() == before


def test_its_unique_key_is_free(store: VirtualStore):
    first = store.add(unique_key="u")
    store.cancel(first)

    assert store.add(unique_key="u") != first


def test_a_cancelled_child_counts_as_ended_for_whoever_waits(store: VirtualStore):
    parent = store.add(queue="parent", awaits=2, extras=Extras(allow_failures=True))
    children = [store.add(join_id=parent, extras=Extras(join_position=position)) for position in range(2)]

    assert store.cancel(children[1])[1] == []
    assert store.get(parent).awaits == 1
    assert store.cancel(children[0])[1] == ["parent"]

    waiting = store.claim_one("parent")
    assert [(child.id, child.state) for child in waiting.children] == [(id_, State.CANCELLED) for id_ in children]


# --- by query ------------------------------------------------------------------------------------------------------


def lock(connection: Connection, *, after: UUID | None = None, limit: int = 100, **filters: Any) -> list[UUID]:
    return finding.lock_live(connection, make_query(filters), after=after, limit=limit)


def locked(store: VirtualStore, **options: Any) -> list[UUID]:
    with store.database.transaction() as connection:
        return lock(connection, **options)


def test_live_commands_are_picked_in_the_order_of_their_ids(store: VirtualStore):
    wanted = sorted(new_id() for _ in range(5))
    for command_id in reversed(wanted):
        store.add(id=command_id, tags=("a",))
    store.add()
    store.settle(store.start(queue="done", tags=("a",)), Returned())

    assert locked(store, tag="a") == wanted
    assert locked(store, tag="a", limit=2) == wanted[:2]
    assert locked(store, tag="a", limit=2, after=wanted[1]) == wanted[2:4]
    assert locked(store, tag="a", after=wanted[-1]) == []


def test_states_narrow_what_is_picked(store: VirtualStore):
    started, scheduled = store.start(tags=("a",)).id, store.add(delay=MINUTE, tags=("a",))

    assert locked(store, tag="a", states=["scheduled", "pending"]) == [scheduled]
    assert locked(store, tag="a", state="started") == [started]


def cancel_tagged(store: VirtualStore, **filters: Any) -> list[Command]:
    def work(connection: Connection) -> list[Command]:
        return commands.cancel(connection, lock(connection, tag="a", **filters), "by tag", now=store.now)[0]

    return store.database.transact(work)


def test_a_command_that_is_claimed_meanwhile_is_no_more_what_was_asked_for(stage: Stage):
    first, second = sorted(stage.store.add(tags=("a",)) for _ in range(2))

    with stage.held_open() as connection:
        claimed = commands.claim(connection, ["parcels"], limit=1, lease=LEASE, worker="w", now=START).commands
        running = stage.runs_into_it(lambda: cancel_tagged(stage.store, state="pending"))

    (left,) = {first, second} - {command.id for command in claimed}
    assert [command.id for command in running.result()] == [left]
    assert stage.store.get(claimed[0].id).state is State.STARTED


def test_a_batch_is_full_even_if_some_of_its_first_are_gone(stage: Stage):
    ids = sorted(stage.store.add(tags=("a",)) for _ in range(4))

    with stage.held_open() as connection:
        commands.cancel(connection, ids[:2], "by hand", now=START)
        running = stage.runs_into_it(lambda: cancel_tagged(stage.store, limit=2))

    assert sorted(command.id for command in running.result()) == ids[2:]


def test_a_claim_passes_over_what_is_being_cancelled(stage: Stage):
    stage.store.add(tags=("a",))

    with stage.held_open() as connection:
        assert len(lock(connection, tag="a")) == 1
        assert stage.store.claim() == []


@pytest.mark.parametrize("outcome", [Returned(), Failed(error_info())], ids=["finish", "put back"])
def test_of_a_settle_and_a_cancellation_by_query_the_first_counts(stage: Stage, outcome: Any):
    attempts: Sequence[Command] = [stage.store.start(tags=("a",), retries=1) for _ in range(2)]

    with stage.held_open() as connection:
        commands.cancel(connection, lock(connection, tag="a", limit=100), "by tag", now=START)
        running = stage.runs_into_it(lambda: stage.store.settle(attempts[0], outcome))
    assert running.result() is False
    assert stage.store.get(attempts[0].id).state is State.CANCELLED


def test_a_cancellation_that_changes_its_mind_lets_the_settle_through(stage: Stage):
    attempt = stage.store.start(tags=("a",))

    with stage.held_open() as connection:
        commands.cancel(connection, lock(connection, tag="a"), "by tag", now=START)
        running = stage.runs_into_it(lambda: stage.store.settle(attempt, Returned("done")))
        raise ChangedItsMind

    assert running.result() is True
    assert stage.store.get(attempt.id).result == "done"
