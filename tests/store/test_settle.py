"""How an attempt ends: its command is moved to the finished ones, or put back for another attempt."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from factories import LEASE, START, error_info, new_command
from virtual_store import VirtualStore, schema_of

from durex_core.model import ErrorInfo, PastAttempt, State
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Failed, HandlerMissing, Released, Returned, Settlement
from durex_core.store import commands

SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)

RESULTS: dict[str, Any] = {
    "null": None,
    "false": False,
    "zero": 0,
    "zero as a float": 0.0,
    "empty text": "",
    "empty list": [],
    "empty object": {},
    "text null": "null",
    "nested": {"a": [1, 2.5, {"b": None}], "Straße": "你好"},
    "a big integer": 2**80,
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_a_result_comes_back_as_it_was_returned(store: VirtualStore, result: Any):
    attempt = store.start()

    assert store.settle(attempt, Returned(result))

    stored = store.get(attempt.id).result
    assert stored == result
    assert type(stored) is type(result)


def test_a_finished_command_keeps_every_field_but_its_lease(store: VirtualStore):
    attempt = store.start(
        name="pack",
        queue="parcels.fragile",
        payload={"street": "Große Straße 1"},
        priority=7,
        retries=3,
        backoff={"kind": "constant", "delay": 1.5},
        timeout=timedelta(seconds=10),
        dead_letter=False,
        tags=("a", "b"),
        correlation_id="order:42",
        parent_id=UUID(int=7),
        unique_key="parcel:1",
        idempotency_key="request:1",
    )
    store.advance(SECOND)
    assert store.settle(attempt, Failed(error_info()))
    store.advance(timedelta(seconds=1.5))
    attempt = store.claim_one("parcels.fragile")
    store.advance(SECOND)

    assert store.settle(attempt, Returned("done"))

    assert store.get(attempt.id) == replace(
        attempt, state=State.COMPLETED, lease_expires_at=None, finished_at=store.now, result="done"
    )
    assert store.count("commands") == 0


def test_a_failure_for_good_keeps_its_error(store: VirtualStore):
    attempt = store.start(retries=3)
    error = error_info(message="no such parcel: Ω\n", traceback='File "x.py", line 1\n  raise "\\"\n')

    assert store.settle(attempt, Failed(error, retryable=False))

    dead = store.get(attempt.id)
    assert (dead.state, dead.error, dead.result, dead.attempt) == (State.DEAD_LETTER, error, None, 1)


def test_an_error_without_a_traceback_comes_back_without_one(store: VirtualStore):
    attempt = store.start()

    store.settle(attempt, Failed(ErrorInfo("Gone", "")))

    assert store.get(attempt.id).error == ErrorInfo("Gone", "", None)


def test_a_failed_attempt_is_put_back_with_a_line_of_history(store: VirtualStore):
    attempt = store.start(retries=1)
    store.advance(SECOND)

    assert store.settle(attempt, Failed(error_info(), how="timed_out"))

    assert store.get(attempt.id) == replace(
        attempt,
        state=State.PENDING,
        ready_at=store.now,
        lease_expires_at=None,
        started_at=None,
        worker=None,
        history=(
            PastAttempt(
                attempt=1,
                lease_number=1,
                outcome="timed_out",
                ended_at=START + SECOND,
                started_at=START,
                worker="worker",
                error=error_info(),
            ),
        ),
    )


def test_a_retry_waits_for_its_backoff(store: VirtualStore):
    attempt = store.start(retries=1, backoff={"kind": "constant", "delay": 1.000249})

    assert store.settle(attempt, Failed(error_info()))

    assert store.get(attempt.id).state is State.SCHEDULED
    assert store.next_due() == timedelta(seconds=1.000249)
    store.advance(timedelta(seconds=1.000249) - MICROSECOND)
    assert store.claim() == []
    store.advance(MICROSECOND)
    assert (store.claim_one().attempt, store.get(attempt.id).is_overdrawn) == (2, False)


def test_a_released_attempt_does_not_count(store: VirtualStore):
    attempt = store.start(retries=0)

    for lease_number in range(1, 6):
        assert (attempt.attempt, attempt.lease_number) == (1, lease_number)
        assert store.settle(attempt, Released("the worker stopped"))
        assert store.get(attempt.id).attempt == 0
        attempt = store.claim_one()

    assert [past.outcome for past in attempt.history] == ["released"] * 5
    assert {past.error for past in attempt.history} == {ErrorInfo("Released", "the worker stopped")}


def test_a_command_without_a_handler_is_put_back_ever_later_and_dead_lettered_in_the_end(store: VirtualStore):
    command_id = store.add(retries=0)
    delays = []

    while store.find(command_id).state is not State.DEAD_LETTER:  # type: ignore[union-attr]
        attempt = store.claim_one()
        assert attempt.attempt == 1
        store.settle(attempt, HandlerMissing())
        due = store.next_due()
        if due is not None:
            delays.append(due.total_seconds())
            store.advance(due)

    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    dead = store.get(command_id)
    assert dead.error is not None
    assert "no handler named 'parcels'" in dead.error.message


def test_the_history_keeps_the_newest_fifty_attempts(store: VirtualStore):
    command_id = store.add(retries=1000)
    for number in range(120):
        attempt = store.claim_one()
        match number % 3:
            case 0:
                store.settle(attempt, Failed(error_info(message=str(number))))
            case 1:
                store.advance(LEASE)
                store.rescue()
            case _:
                store.advance(LEASE)  # the next claim takes it over

    claimed = store.claim_one()

    assert [past.attempt for past in claimed.history] == list(range(71, 121))
    assert [past.lease_number for past in claimed.history] == list(range(71, 121))
    assert claimed.attempt == 121
    assert store.settle(claimed, Returned())
    assert store.get(command_id).history == claimed.history


def test_children_are_enqueued_with_the_success_of_their_parent(store: VirtualStore):
    attempt = store.start()
    children = (
        new_command(queue="children", parent_id=attempt.id),
        new_command(queue="children", parent_id=attempt.id, delay=SECOND),
    )

    assert store.settle(attempt, Returned(None, children))

    assert [store.get(child.id).state for child in children] == [State.PENDING, State.SCHEDULED]
    assert {store.get(child.id).parent_id for child in children} == {attempt.id}


def test_a_child_may_take_the_unique_key_of_its_parent(store: VirtualStore):
    attempt = store.start(unique_key="parcel:1")
    child = new_command(unique_key="parcel:1")

    assert store.settle(attempt, Returned(None, (child,)))

    assert store.get(child.id).unique_key == "parcel:1"
    assert store.add(unique_key="parcel:1") == child.id


def test_children_of_several_parents_meet_in_their_keys(store: VirtualStore):
    parents = [store.start() for _ in range(3)]
    children = [new_command(queue="children", unique_key="one") for _ in parents]

    assert store.write(
        *(decide(parent, Returned(None, (child,)), 0.5) for parent, child in zip(parents, children, strict=True))
    )

    assert [store.find(child.id) is not None for child in children] == [True, False, False]


def test_an_outcome_and_its_children_commit_together_or_not_at_all(store: VirtualStore):
    attempt = store.start()
    taken = store.add(queue="children")
    before = store.rows()
    children = (new_command(queue="children"), new_command(queue="children", id=taken))

    with pytest.raises(Exception, match="commands/enqueue"):
        store.settle(attempt, Returned(None, children))

    assert store.rows() == before


def test_a_mixed_batch_is_settled_each_in_its_own_way(store: VirtualStore):
    outcomes = [
        (Returned("a"), State.COMPLETED),
        (Failed(error_info()), State.PENDING),
        (Failed(error_info(), retryable=False), State.DEAD_LETTER),
        (Released("stopping"), State.PENDING),
        (HandlerMissing(), State.SCHEDULED),
        (Returned("b"), State.COMPLETED),
    ]
    attempts = [store.start(retries=1) for _ in outcomes]

    assert store.write(
        *(decide(attempt, outcome, 0.5) for attempt, (outcome, _) in zip(attempts, outcomes, strict=True))
    )

    assert [store.get(attempt.id).state for attempt in attempts] == [state for _, state in outcomes]
    assert [store.get(attempt.id).result for attempt in attempts] == ["a", None, None, None, None, "b"]


def test_of_many_that_end_those_are_told_whose_leases_did_not_hold(store: VirtualStore):
    attempts = [store.start(retries=3) for _ in range(12)]
    late, cancelled, gone = attempts[2], attempts[5], attempts[7]
    store.advance(LEASE)
    successors = {command.id: command for command in store.claim(limit=100)}
    store.cancel(cancelled.id)
    store.settle(successors[gone.id], Returned("before"))
    reports = [late if attempt is late else successors[attempt.id] for attempt in attempts]

    settled = store.end(*(decide(attempt, Returned(place), 0.5) for place, attempt in enumerate(reports)))

    assert settled.lost == {commands.fence(late), *(commands.fence(successors[each.id]) for each in (cancelled, gone))}
    results = [store.get(attempt.id).result for attempt in attempts]
    assert results == [None if place in {2, 5} else "before" if place == 7 else place for place in range(12)]
    assert store.get(late.id).state is State.STARTED


def test_where_all_leases_held_nobody_is_named(store: VirtualStore):
    attempts = [store.start() for _ in range(3)]

    assert store.end(*(decide(attempt, Returned(), 0.5) for attempt in attempts)).lost == set()


def test_endings_of_all_kinds_travel_together(store: VirtualStore):
    outcomes = [
        *(Returned(result) for result in RESULTS.values()),
        Failed(error_info(traceback=None), retryable=False),
        Failed(error_info(message='Straße "42" {a,b} \\\\'), retryable=False),
    ]
    attempts = [store.start() for _ in outcomes]

    assert store.write(*(decide(attempt, outcome, 0.5) for attempt, outcome in zip(attempts, outcomes, strict=True)))

    ended = [store.get(attempt.id) for attempt in attempts]
    assert [command.result for command in ended[:-2]] == list(RESULTS.values())
    assert [command.error for command in ended[-2:]] == [outcome.error for outcome in outcomes[-2:]]
    assert [command.state for command in ended] == [State.COMPLETED] * len(RESULTS) + [State.DEAD_LETTER] * 2


def test_nothing_to_settle_is_nothing_to_do(store: VirtualStore):
    assert store.write()
    assert store.heartbeat()


def test_plain_endings_of_one_kind_need_one_statement(store: VirtualStore):
    attempt = store.start(retries=1)
    ended = decide(attempt, Returned(), 0.5)
    failed = decide(attempt, Failed(error_info()), 0.5)
    with_child = decide(attempt, Returned(None, (new_command(),)), 0.5)

    assert commands.is_one_statement([ended, ended])
    assert commands.is_one_statement([failed])
    assert not commands.is_one_statement([ended, failed])
    assert not commands.is_one_statement([ended, with_child])


def test_a_heartbeat_extends_a_lease_and_nothing_else(store: VirtualStore):
    attempt = store.start()
    store.advance(SECOND)

    assert store.heartbeat(attempt, lease=timedelta(minutes=5))

    assert store.get(attempt.id) == replace(attempt, lease_expires_at=store.now + timedelta(minutes=5))


@pytest.mark.parametrize("shorter", [timedelta(0), SECOND, LEASE - SECOND - MICROSECOND])
def test_a_heartbeat_never_shortens_a_lease(store: VirtualStore, shorter: timedelta):
    attempt = store.start()
    store.advance(SECOND)

    assert store.heartbeat(attempt, lease=shorter)

    assert store.get(attempt.id) == attempt


def test_heartbeats_of_many_are_answered_each_for_itself(store: VirtualStore):
    held, finished = store.start(), store.start()
    store.settle(finished, Returned())

    extended = store.database.transact(
        lambda connection: commands.heartbeat(connection, [held, finished], lease=LEASE, now=store.now)
    )

    assert extended == {commands.fence(held)}


def test_moments_of_a_history_are_kept_to_the_microsecond(store: VirtualStore):
    store.advance(timedelta(microseconds=123457))
    attempt = store.start(retries=1)
    store.advance(timedelta(microseconds=1))

    store.settle(attempt, Failed(error_info()))

    (past,) = store.get(attempt.id).history
    assert past.started_at == START + timedelta(microseconds=123457)
    assert past.ended_at == START + timedelta(microseconds=123458)


def test_every_terminal_state_can_be_stored(store: VirtualStore):
    for state in State:
        if state.is_terminal:
            attempt = store.start()
            assert store.write(Settlement(attempt, state, "by hand"))
            assert store.get(attempt.id).state is state
            with store.database.autocommit() as connection:
                kept = f"SELECT retention FROM {schema_of(connection)}finished_commands WHERE id = '{attempt.id}'"
                assert connection.select(kept) == [{"retention": state.retention}]
