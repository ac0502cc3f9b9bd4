"""Retry and replay: which commands may run again, why others may not, and who hears of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from factories import error_info
from listener import Listener
from virtual_store import VirtualStore, query, schema_of

from durex_core.clock import utc_now
from durex_core.errors import CommandNotFound, InvalidQuery, KeyTaken, NotAllowed
from durex_core.ids import new_id
from durex_core.model import Command, Extras, State
from durex_core.operations import revive as operations
from durex_core.operations.after import After
from durex_core.rules.outcomes import Failed, Repeated, Settlement

MINUTE = timedelta(minutes=1)


def end(store: VirtualStore, state: State = State.DEAD_LETTER, **options: Any) -> Command:
    attempt = store.start(**options)
    assert store.write(Settlement(attempt, state, "by hand", error=error_info()))
    return store.get(attempt.id)


@pytest.mark.parametrize("state", [State.FAILED, State.DEAD_LETTER, State.EXPIRED, State.CANCELLED])
def test_a_command_that_did_not_complete_is_retried(store: VirtualStore, after: After, heard: Listener, state: State):
    ended = end(store, state, queue="other")

    retried = operations.retry(store.database, after, ended.id)

    assert retried == store.get(ended.id)
    assert (retried.state, retried.attempt, retried.lease_number) == (State.PENDING, 0, 1)
    assert (heard.alive, heard.woken) == ([retried], ["other"])


@pytest.mark.parametrize("state", [State.SCHEDULED, State.REPEATING])
def test_a_command_that_waits_for_its_time_is_spared_the_wait(
    store: VirtualStore, after: After, heard: Listener, state: State
):
    if state is State.REPEATING:
        attempt = store.start(queue="other")
        store.settle(attempt, Repeated(delay=timedelta(days=3000)))
        command_id = attempt.id
    else:
        command_id = store.add(queue="other", delay=timedelta(days=3000))
    assert store.get(command_id).state is state

    retried = operations.retry(store.database, after, command_id)

    assert (retried.state, abs(retried.ready_at - utc_now()) < MINUTE) == (State.PENDING, True)
    assert (heard.alive, heard.woken) == ([], ["other"])


def test_a_retry_that_waits_for_its_backoff_is_spared_the_wait(store: VirtualStore, after: After):
    attempt = store.start(retries=1)
    store.settle(attempt, Failed(error_info(), delay=timedelta(days=3000)))

    retried = operations.retry(store.database, after, attempt.id)

    assert (retried.state, retried.attempt, len(retried.history)) == (State.PENDING, 1, 1)


def paused(store: VirtualStore) -> UUID:
    command_id = store.add()
    with store.database.transaction() as connection:
        query(connection, f"UPDATE {schema_of(connection)}commands SET state = 'paused'")
    return command_id


REFUSED = {
    State.PENDING: (lambda store: store.add(), "it is ready already"),
    State.STARTED: (lambda store: store.start().id, "an attempt is running; wait for its end, or cancel"),
    State.WAITING: (lambda store: store.add(awaits=1), "it waits for other commands to end"),
    State.PAUSED: (paused, "it is paused"),
    State.COMPLETED: (lambda store: end(store, State.COMPLETED).id, "it completed; enqueue a new command"),
}


@pytest.mark.parametrize("state", REFUSED)
def test_a_state_that_allows_no_retry_is_named_with_what_to_do(
    store: VirtualStore, after: After, heard: Listener, state: State
):
    make, reason = REFUSED[state]
    command_id = make(store)
    before = store.rows()

    with pytest.raises(NotAllowed, match=f"{command_id} is {state} and cannot be retried: {reason}"):
        operations.retry(store.database, after, command_id)

    assert (store.rows(), heard.alive, heard.woken) == (before, [], [])


def test_every_state_can_be_retried_or_is_refused():
    assert {*operations.RETRIED, *operations.HASTENED, *REFUSED} == set(State)


def test_a_dead_letter_is_replayed(store: VirtualStore, after: After, heard: Listener):
    ended = end(store)

    replayed = operations.replay(store.database, after, ended.id)

    assert (replayed.state, heard.alive, heard.woken) == (State.PENDING, [replayed], ["parcels"])


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.EXPIRED, State.COMPLETED])
def test_nothing_else_is_replayed(store: VirtualStore, after: After, state: State):
    ended = end(store, state)

    with pytest.raises(NotAllowed, match=f"is {state}, not in the dead letter queue"):
        operations.replay(store.database, after, ended.id)

    assert store.get(ended.id) == ended


@pytest.mark.parametrize("operation", [operations.retry, operations.replay])
def test_an_unknown_command_is_not_found(store: VirtualStore, after: After, operation: Any):
    with pytest.raises(CommandNotFound):
        operation(store.database, after, new_id())


@pytest.mark.parametrize("operation", [operations.retry, operations.replay])
def test_a_taken_unique_key_is_named_with_its_holder(
    store: VirtualStore, after: After, heard: Listener, operation: Any
):
    ended = end(store, unique_key="u")
    holder = store.add(unique_key="u")

    with pytest.raises(KeyTaken, match=f"needs the unique key 'u', which the live command {holder} holds") as taken:
        operation(store.database, after, ended.id)

    assert (taken.value.unique_key, taken.value.holder, taken.value.command_id) == ("u", holder, ended.id)
    assert (store.get(ended.id), heard.alive) == (ended, [])


@pytest.mark.parametrize("operation", [operations.retry, operations.replay])
def test_a_deadline_of_its_own_that_has_passed_is_named(store: VirtualStore, after: After, operation: Any):
    ended = end(store, deadline_at=datetime(2026, 3, 2, tzinfo=UTC))

    with pytest.raises(NotAllowed, match=r"had to end by 2026-03-02T00:00:00\+00:00, which has passed; enqueue a new"):
        operation(store.database, after, ended.id)

    assert store.get(ended.id) == ended


def test_a_relative_deadline_is_no_obstacle(store: VirtualStore, after: After):
    ended = end(store, extras=Extras(deadline=MINUTE))

    retried = operations.retry(store.database, after, ended.id)

    assert retried.deadline_at == retried.ready_at + MINUTE


def test_one_that_may_not_run_without_its_children_is_not_revived(store: VirtualStore, after: After):
    parent = store.add(queue="parent", awaits=1)
    child = store.add(join_id=parent, extras=Extras(join_position=0))
    store.settle(store.claim_one(), Failed(error_info()))
    assert store.write(Settlement(store.claim_one("parent"), State.DEAD_LETTER, "failed", error=error_info()))

    with pytest.raises(NotAllowed, match=f"1 did not complete .*{child} is dead_letter.* may not run without them"):
        operations.retry(store.database, after, parent)

    assert store.get(parent).state is State.DEAD_LETTER


def test_one_that_allows_failures_is_revived_with_what_it_heard(store: VirtualStore, after: After):
    parent = store.add(queue="parent", awaits=1, extras=Extras(allow_failures=True))
    store.add(join_id=parent, extras=Extras(join_position=0))
    store.settle(store.claim_one(), Failed(error_info()))
    assert store.write(Settlement(store.claim_one("parent"), State.DEAD_LETTER, "failed", error=error_info()))

    assert len(operations.retry(store.database, after, parent).children) == 1


# --- the dead letter queue -----------------------------------------------------------------------------------------


def test_the_dead_letter_queue_is_replayed_as_far_as_it_can_be(store: VirtualStore, after: After, heard: Listener):
    dead = [end(store).id for _ in range(3)]
    end(store, State.FAILED)
    stuck = end(store, unique_key="u").id
    store.add(unique_key="u")

    replayed = operations.replay_dead_letters(store.database, after, None, 1000)

    assert sorted(replayed) == sorted(dead)
    assert store.get(stuck).state is State.DEAD_LETTER
    assert len(heard.alive) == 3


def test_so_are_those_of_one_name_up_to_a_limit(store: VirtualStore, after: After, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(operations, "MAX_LIMIT", 2)
    wanted = sorted(end(store, queue="wanted").id for _ in range(5))
    end(store)

    assert operations.replay_dead_letters(store.database, after, "wanted", 3) == wanted[:3]
    assert operations.replay_dead_letters(store.database, after, "wanted", 1000) == wanted[3:]


def test_the_dead_letter_queue_is_purged_in_batches(store: VirtualStore, after: After, heard: Listener):
    for _ in range(5):
        end(store)
    end(store, State.FAILED)

    assert operations.purge_dead_letters(store.database, after, timedelta(days=3000), 2) == 0
    assert operations.purge_dead_letters(store.database, after, timedelta(0), 2) == 5
    assert (heard.dropped, store.count("finished_commands")) == (5, 1)


def test_what_cannot_be_is_refused(store: VirtualStore, after: After):
    for limit in (0, -1):
        with pytest.raises(InvalidQuery, match="limit"):
            operations.purge_dead_letters(store.database, after, MINUTE, limit)
        with pytest.raises(InvalidQuery, match="limit"):
            operations.replay_dead_letters(store.database, after, None, limit)
    with pytest.raises(InvalidQuery, match="older_than"):
        operations.purge_dead_letters(store.database, after, -MINUTE, 1)
    with pytest.raises(InvalidQuery, match=r"names\[0\]"):
        operations.replay_dead_letters(store.database, after, "no name", 1)
