"""A finished command is given a new life: with a fresh budget, under a lease number that rises on, and at most once."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from factories import LEASE, START, error_info, new_command
from racing import Stage
from virtual_store import VirtualStore, query, schema_of

from durex_core.errors import RowExists
from durex_core.ids import new_id
from durex_core.model import CRASHED, Command, Extras, State
from durex_core.operations.revive import RETRIED
from durex_core.rules.history import history_of
from durex_core.rules.outcomes import Crashed, Expired, Failed, Repeated, Returned, Settlement
from durex_core.store import commands, finished
from durex_core.store.database import Database, open_database

MINUTE = timedelta(minutes=1)
ENDED = Failed(error_info())


def revive(store: VirtualStore, command_id: UUID, *states: State) -> Command | None:
    return store.database.transact(
        lambda connection: finished.revive(connection, command_id, states or RETRIED, now=store.now)
    )


def end(store: VirtualStore, state: State = State.DEAD_LETTER, **options: Any) -> Command:
    """Let a command end with its first attempt, and a minute pass after that."""
    attempt = store.start(**options)
    assert store.write(Settlement(attempt, state, "by hand", error=error_info()))
    ended = store.get(attempt.id)
    store.advance(MINUTE)
    return ended


@pytest.mark.parametrize("state", RETRIED)
def test_a_revived_command_is_ready_with_a_fresh_budget(store: VirtualStore, state: State):
    ended = end(store, state, retries=2, tags=("a",), payload={"a": 1}, correlation_id="c", unique_key="u", priority=3)

    revived = revive(store, ended.id, state)

    assert revived is not None
    assert revived == store.get(ended.id)
    assert replace(revived, history=()) == replace(
        ended,
        state=State.PENDING,
        attempt=0,
        ready_at=store.now,
        history=(),
        started_at=None,
        finished_at=None,
        worker=None,
        error=None,
    )
    assert (store.count("commands"), store.count("finished_commands")) == (1, 0)
    assert store.claim_one().attempt == 1


def test_the_attempt_that_ended_it_is_kept_in_its_history(store: VirtualStore):
    attempt = store.start(retries=1)
    store.settle(attempt, ENDED)
    last = store.claim_one(worker="second")
    store.advance(LEASE / 2)
    store.settle(last, Failed(error_info(message="no more")))
    ended_at = store.now
    store.advance(MINUTE)

    revived = revive(store, attempt.id)

    assert revived is not None
    first, past = revived.history
    assert first.outcome == "failed"
    assert (past.outcome, past.attempt, past.lease_number, past.worker) == ("dead_letter", 2, 2, "second")
    assert (past.started_at, past.ended_at, past.revived_at) == (last.started_at, ended_at, store.now)
    assert past.error == error_info(message="no more")
    assert [event.event for event in history_of(revived)][-3:] == ["started", "failed", "retrying"]


def test_the_history_keeps_the_newest_fifty(store: VirtualStore):
    command_id = store.add()
    for _ in range(60):
        store.settle(store.claim_one(), ENDED)
        assert revive(store, command_id)

    history = store.get(command_id).history
    assert [past.lease_number for past in history] == list(range(11, 61))


def test_the_lease_number_rises_on_and_the_zombie_of_the_first_life_is_refused(store: VirtualStore):
    attempt = store.start()
    store.settle(attempt, ENDED)
    revive(store, attempt.id)

    again = store.claim_one()

    assert again.lease_number == attempt.lease_number + 1
    assert not store.settle(attempt, Returned("late"))
    assert not store.heartbeat(attempt)
    assert store.settle(again, Returned("in time"))
    assert store.get(attempt.id).result == "in time"


def test_only_the_states_that_are_asked_for_are_revived(store: VirtualStore):
    ended = end(store, State.FAILED)
    before = store.rows()

    assert revive(store, ended.id, State.DEAD_LETTER, State.EXPIRED) is None
    assert store.rows() == before


def test_a_live_or_unknown_command_is_not_revived(store: VirtualStore):
    live = store.add()
    before = store.rows()

    assert revive(store, live) is None
    assert revive(store, new_id()) is None
    assert store.rows() == before


def test_of_a_command_that_repeated_the_newest_run_is_revived(store: VirtualStore):
    attempt = store.start()
    for number in range(2):
        assert store.settle(attempt, Repeated(number, delay=timedelta(0)))
        attempt = store.claim_one()
    store.settle(attempt, ENDED)

    revived = revive(store, attempt.id)

    assert revived is not None
    assert (revived.run, revived.lease_number) == (3, 3)
    assert store.count("finished_commands") == 2
    assert store.settle(store.claim_one(), Repeated(delay=timedelta(0)))
    assert store.get(attempt.id).run == 4


def test_an_older_run_is_never_revived(store: VirtualStore):
    attempt = store.start()
    assert store.settle(attempt, Repeated(delay=timedelta(0)))
    store.settle(store.claim_one(), Returned())
    before = store.rows()

    with store.database.transaction() as connection:
        query(connection, f"UPDATE {schema_of(connection)}finished_commands SET state = 'failed' WHERE run = 1")
    assert revive(store, attempt.id) is None
    assert store.count("finished_commands") == len(before["finished_commands"])
    assert store.count("commands") == 0


def test_a_finished_run_is_not_revived_beside_a_live_one(store: VirtualStore):
    attempt = store.start()
    assert store.settle(attempt, Repeated(delay=timedelta(0)))
    with store.database.transaction() as connection:
        query(connection, f"UPDATE {schema_of(connection)}finished_commands SET state = 'failed' WHERE run = 1")

    assert revive(store, attempt.id) is None
    assert (store.count("finished_commands"), store.count("commands")) == (1, 1)


def test_relative_limits_begin_anew(store: VirtualStore):
    extras = Extras(deadline=timedelta(hours=1), start_within=timedelta(minutes=5), metadata={"a": 1})
    ended = end(store, extras=extras)
    store.advance(timedelta(days=1))

    revived = revive(store, ended.id)

    assert revived is not None
    assert revived.deadline_at == store.now + timedelta(hours=1)
    assert revived.expires_at == store.now + timedelta(minutes=5)
    assert revived.extras == extras


@pytest.mark.parametrize(
    ("extras", "expires"),
    [
        (Extras(deadline=MINUTE), MINUTE),
        (Extras(start_within=MINUTE), MINUTE),
        (Extras(start_within=2 * MINUTE, deadline=MINUTE), MINUTE),
        (Extras(metadata={"a": 1}), None),
    ],
)
def test_it_expires_at_whichever_comes_first(store: VirtualStore, extras: Extras, expires: timedelta | None):
    revived = revive(store, end(store, extras=extras).id)

    assert revived is not None
    assert revived.expires_at == (store.now + expires if expires else None)


def test_a_deadline_of_its_own_stays_as_it_is(store: VirtualStore):
    ended = end(store, deadline_at=START + timedelta(hours=1))

    revived = revive(store, ended.id)

    assert revived is not None
    assert revived.deadline_at == revived.expires_at == START + timedelta(hours=1)


def test_nothing_is_revived_for_a_deadline_that_has_passed(store: VirtualStore):
    ended = end(store, deadline_at=START + MINUTE)
    before = store.rows()

    assert revive(store, ended.id) is None
    assert store.rows() == before


def test_a_command_that_expired_can_run_again_with_its_relative_deadline(store: VirtualStore):
    command_id = store.add(extras=Extras(deadline=MINUTE))
    store.advance(2 * MINUTE)
    assert store.settle(store.claim_one(), Expired())

    revived = revive(store, command_id)

    assert revived is not None
    assert revived.deadline_at == store.now + MINUTE
    assert store.claim_one().attempt == 1
    # Nobody started an attempt: the claim was for the ending alone.
    assert [event.event for event in history_of(revived)] == ["created", "expired", "retrying"]


def test_a_command_whose_last_attempt_crashed_is_told_once(store: VirtualStore):
    attempt = store.start()
    store.advance(LEASE)
    overdrawn = store.claim_one()
    assert overdrawn.is_overdrawn
    assert store.settle(overdrawn, Crashed())

    revived = revive(store, attempt.id)

    assert revived is not None
    assert [past.outcome for past in revived.history] == [CRASHED, "dead_letter"]
    assert [event.event for event in history_of(revived)] == ["created", "started", "failed", "retrying"]


def test_its_join_has_counted_it_and_hears_of_it_no_more(store: VirtualStore):
    parent = store.add(queue="parent", awaits=1, extras=Extras(allow_failures=True))
    child = store.add(join_id=parent, extras=Extras(join_position=0))
    store.settle(store.claim_one(), ENDED)
    assert store.get(parent).state is State.PENDING

    revived = revive(store, child)

    assert revived is not None
    assert revived.join_id is None
    assert store.settle(store.claim_one(), Returned())
    assert [result.state for result in store.get(parent).children] == [State.DEAD_LETTER]
    assert store.count("joined") == 0


def test_a_unique_key_is_taken_again(store: VirtualStore):
    ended = end(store, unique_key="u")

    revive(store, ended.id)

    assert store.add(unique_key="u") == ended.id


def test_a_unique_key_that_a_live_command_holds_keeps_it_from_being_revived(store: VirtualStore):
    ended = end(store, unique_key="u")
    holder = store.add(unique_key="u")
    before = store.rows()

    with pytest.raises(RowExists):
        revive(store, ended.id)

    assert store.rows() == before
    with store.database.autocommit() as connection:
        assert commands.unique_key_holders(connection, ["u", "none"]) == {"u": holder}


def test_a_refused_revival_leaves_everything_even_without_a_transaction(store: VirtualStore):
    ended = end(store, unique_key="u")
    store.add(unique_key="u")
    before = store.rows()

    with store.database.autocommit() as connection, pytest.raises(RowExists):
        finished.revive(connection, ended.id, RETRIED, now=store.now)

    assert store.rows() == before


# --- hastening -----------------------------------------------------------------------------------------------------


def hasten(store: VirtualStore, command_id: UUID) -> Command | None:
    return store.database.transact(lambda connection: commands.hasten(connection, command_id, now=store.now))


def test_a_command_that_waits_for_its_time_is_made_ready(store: VirtualStore):
    command_id = store.add(delay=MINUTE)
    store.advance(timedelta(seconds=1))

    hastened = hasten(store, command_id)

    assert hastened is not None
    assert (hastened.state, hastened.ready_at) == (State.PENDING, store.now)
    assert store.claim_one().id == command_id


def test_so_is_the_next_run_of_one_that_repeats(store: VirtualStore):
    attempt = store.start()
    store.settle(attempt, Repeated(delay=MINUTE))

    hastened = hasten(store, attempt.id)

    assert hastened is not None
    assert (hastened.state, hastened.run, store.claim_one().run) == (State.PENDING, 2, 2)


def test_nothing_else_is_hastened(store: VirtualStore):
    others = [store.start().id, store.add(), store.add(awaits=1), end(store, queue="done").id, new_id()]
    before = store.rows()

    assert [hasten(store, command_id) for command_id in others] == [None] * len(others)
    assert store.rows() == before


# --- the dead letter queue -----------------------------------------------------------------------------------------


def purge(store: VirtualStore, keep: timedelta, *, limit: int = 100) -> int:
    return store.database.transact(lambda connection: finished.purge(connection, keep=keep, limit=limit, now=store.now))


def test_dead_letters_that_ended_long_ago_are_dropped(store: VirtualStore):
    old, young = end(store), end(store)

    assert purge(store, 3 * MINUTE) == 0
    assert purge(store, 2 * MINUTE) == 1
    assert (store.find(old.id), store.get(young.id)) == (None, young)


def test_only_dead_letters_are_purged(store: VirtualStore):
    for state in State:
        if state.is_terminal:
            end(store, state)
    store.add()

    assert purge(store, timedelta(0)) == 1
    assert store.count("finished_commands") == 4
    assert store.count("commands") == 1


def test_a_bounded_number_is_purged_at_once(store: VirtualStore):
    for _ in range(5):
        end(store)

    assert [purge(store, timedelta(0), limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_dead_letters_are_purged_from_every_partition(postgres_url: str):
    with closing(open_database(postgres_url)) as database:
        store = VirtualStore(database)
        with database.autocommit() as connection:
            query(
                connection,
                "CREATE TABLE durex.finished_attention_x PARTITION OF durex.finished_attention"
                " FOR VALUES FROM ('2026-03-01 12:01:00Z') TO ('2026-03-02')",
            )
        for _ in range(3):
            end(store)
        assert len(partition_rows(database, "finished_attention_x")) == 2
        assert purge(store, timedelta(0)) == 3


def partition_rows(database: Database, name: str) -> list[Any]:
    with database.autocommit() as connection:
        return query(connection, f"SELECT id FROM durex.{name}")


# --- races ---------------------------------------------------------------------------------------------------------


def test_of_two_that_revive_a_command_one_does(stage: Stage):
    ended = end(stage.store)

    with stage.held_open() as connection:
        assert finished.revive(connection, ended.id, RETRIED, now=stage.store.now)
        running = stage.runs_into_it(lambda: revive(stage.store, ended.id))

    assert running.result() is None
    assert stage.store.count("commands") == 1


def test_a_second_revival_that_comes_late_does_not_take_the_lease_number_back(stage: Stage):
    """It waited while the first one's command ran to its end: what it had seen is gone."""
    ended = end(stage.store)

    with stage.held_open() as connection:
        assert finished.revive(connection, ended.id, RETRIED, now=stage.store.now)
        (again,) = commands.claim(
            connection, ["parcels"], limit=1, lease=LEASE, worker="w", now=stage.store.now
        ).commands
        settlement = Settlement(again, State.DEAD_LETTER, "failed", error=error_info())
        assert not commands.settle(connection, [settlement], now=stage.store.now).lost
        running = stage.runs_into_it(lambda: revive(stage.store, ended.id))

    revived = running.result()
    assert revived is None
    assert (stage.store.count("commands"), stage.store.count("finished_commands")) == (0, 1)
    assert stage.store.get(ended.id).lease_number == 2


def test_a_revival_that_waits_for_the_holder_of_its_key_is_refused(stage: Stage):
    ended = end(stage.store, unique_key="u")

    with stage.held_open() as connection:
        assert commands.enqueue(connection, [new_command(unique_key="u")], now=stage.store.now)
        running = stage.runs_into_it(lambda: revive(stage.store, ended.id))

    assert isinstance(running.exception(), RowExists)
    assert stage.store.get(ended.id) == ended


def test_a_command_is_revived_or_purged_but_never_both(stage: Stage):
    ended = end(stage.store)

    with stage.held_open() as connection:
        assert finished.purge(connection, keep=timedelta(0), limit=1, now=stage.store.now) == 1
        running = stage.runs_into_it(lambda: revive(stage.store, ended.id))
    assert running.result() is None

    other = end(stage.store)
    with stage.held_open() as connection:
        assert finished.revive(connection, other.id, RETRIED, now=stage.store.now)
        running = stage.runs_into_it(lambda: purge(stage.store, timedelta(0)))
    assert running.result() == 0
    assert stage.store.get(other.id).state is State.PENDING
