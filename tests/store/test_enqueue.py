"""What goes into the store comes out of it, all or none of it, in the order in which it was asked for."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from factories import QUEUE, START, compensation, new_command
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from strategies import json_values
from virtual_store import TABLES, VirtualStore

from durex_core import strict_json
from durex_core.backoff import Backoff, Constant, Exponential, Jittered, Linear, NoBackoff
from durex_core.clock import utc_now
from durex_core.errors import DatabaseError
from durex_core.model import Command, Extras, NewCommand, State
from durex_core.store import commands

NOTHING: dict[str, list[Any]] = {table: [] for table in TABLES}

LONG = st.timedeltas(timedelta(microseconds=1), timedelta(days=3660))

BACKOFF: TypeAdapter[Backoff] = TypeAdapter(Backoff)
BACKOFFS: list[Backoff] = [
    NoBackoff(),
    Constant(timedelta(microseconds=1)),
    Linear(timedelta(seconds=1.000001), timedelta(days=366)),
    Exponential(timedelta(milliseconds=250), 1.1, timedelta(hours=1)),
    Jittered(Exponential(), 0.25),
    Jittered(Linear(), 0),
]

PAYLOADS: dict[str, Any] = {
    "null": None,
    "false": False,
    "zero": 0,
    "empty text": "",
    "empty list": [],
    "empty object": {},
    "text that looks like a number": "007",
    "text that looks like null": "null",
    "text that looks like JSON": '{"a": 1}',
    "quotes and backslashes": 'it\'s "quoted" \\ \\u0000 \\n',
    "other scripts": "Grüße, 你好, здравствуйте, \U0001f9ea, e\u0301",
    "control characters": "tab\t, newline\n, bell\x07, delete\x7f",
    "percent and colon": "100 % of :rows, %(rows)s, ?, $1",
    "a big integer": 2**80,
    "a big negative integer": -(2**63) - 1,
    "the largest exact integer": 2**53,
    "a float": 0.1,
    "a small float": 5e-324,
    "a float with many digits": 0.30000000000000004,
    "a whole float": 3.0,
    "nested": {"a": [{"b": [None, True, [[]], {"c": {"": "empty key"}}]}], "ключ": -1.5e-7},
    "many": list(range(1000)),
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_comes_back_as_it_went_in(store: VirtualStore, payload: Any):
    command_id = store.add(payload=payload)

    stored = store.get(command_id).payload

    assert stored == payload
    assert type(stored) is type(payload)


def test_every_field_comes_back_as_it_went_in(store: VirtualStore):
    new = new_command(
        name="pack",
        queue="parcels.fragile",
        payload={"street": "Große Straße 1"},
        delay=timedelta(hours=1, microseconds=1),
        priority=-32768,
        retries=1000,
        backoff={"kind": "constant", "delay": 1.5},
        timeout=timedelta(days=7, microseconds=-1),
        dead_letter=False,
        tags=("größer", "b", "a", "b"),
        correlation_id="order:42",
        parent_id=uuid4(),
        unique_key="unique ' \" \\ key",
        idempotency_key="идемпотентность",
        deadline_at=START + timedelta(days=3, microseconds=7),
        join_id=uuid4(),
        extras=Extras(
            deadline=timedelta(days=3660, microseconds=-1),
            start_within=timedelta(days=1, microseconds=1),
            period=timedelta(microseconds=1),
            metadata={"größe": [1, 2.5, None, {"a": {}}], "": "empty"},
            sequence=("pack", "ship", "pack"),
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            join_position=999,
            allow_failures=True,
        ),
        compensations=(
            compensation("charge", payload={"amount": 1.5}, delay=timedelta(seconds=1.5), tags=("undo",)),
            compensation("größe", extras=Extras(metadata={"a": 1}), timeout=timedelta(seconds=2)),
        ),
    )

    store.enqueue(new)

    assert store.get(new.id) == Command(
        id=new.id,
        name="pack",
        queue="parcels.fragile",
        state=State.SCHEDULED,
        payload={"street": "Große Straße 1"},
        priority=-32768,
        attempt=0,
        retries=1000,
        run=1,
        backoff=store.get(new.id).backoff,
        timeout=timedelta(days=7, microseconds=-1),
        dead_letter=False,
        tags=("größer", "b", "a", "b"),
        correlation_id="order:42",
        parent_id=new.parent_id,
        unique_key="unique ' \" \\ key",
        idempotency_key="идемпотентность",
        lease_number=0,
        lease_expires_at=None,
        worker=None,
        history=(),
        created_at=START,
        ready_at=START + timedelta(hours=1, microseconds=1),
        started_at=None,
        deadline_at=new.deadline_at,
        expires_at=START + timedelta(days=1, hours=1, microseconds=2),
        extras=new.extras,
        join_id=new.join_id,
        compensations=new.compensations,
    )


def test_a_field_that_is_not_looked_at_here_does_not_exist():
    """Whoever adds an option adds it to the test above, so that no database forgets it."""
    assert {field.name for field in fields(NewCommand)} == {
        *("id", "name", "queue", "payload", "delay", "run_at", "priority", "retries", "backoff", "timeout"),
        *("deadline_at", "dead_letter", "tags", "correlation_id", "parent_id", "unique_key", "idempotency_key"),
        *("extras", "join_id", "awaits", "compensations"),
    }
    assert {field.name for field in fields(Extras)} == {
        *("deadline", "start_within", "period", "metadata", "sequence", "traceparent"),
        *("join_position", "allow_failures"),
    }


def test_a_command_that_waits_comes_back_as_it_went_in(store: VirtualStore):
    new = new_command(awaits=3, extras=Extras(allow_failures=True))

    store.enqueue(new)

    stored = store.get(new.id)
    assert (stored.state, stored.awaits, stored.children) == (State.WAITING, 3, ())
    assert stored.extras == new.extras


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    options=st.fixed_dictionaries(
        {
            "deadline": st.none() | LONG,
            "start_within": st.none() | LONG,
            "period": st.none() | LONG,
            "metadata": st.dictionaries(st.text("abä:"), json_values(), max_size=3),
            "sequence": st.lists(st.sampled_from(["a", "b"]), max_size=3).map(tuple),
            "join_position": st.none() | st.integers(0, 1000),
            "allow_failures": st.booleans(),
        }
    )
)
def test_any_extras_come_back_as_they_went_in(store: VirtualStore, options: dict[str, Any]):
    assert store.get(store.add(extras=Extras(**options))).extras == Extras(**options)


def test_a_moment_to_run_at_is_kept_to_the_microsecond(store: VirtualStore):
    moment = START + timedelta(days=1, microseconds=1)

    stored = store.get(store.add(run_at=moment))

    assert (stored.state, stored.ready_at, stored.created_at) == (State.SCHEDULED, moment, START)
    assert store.next_due() == timedelta(days=1, microseconds=1)


def test_a_moment_to_run_at_may_be_in_any_zone(store: VirtualStore):
    moment = START.astimezone(timezone(timedelta(hours=-8))) + timedelta(hours=1)

    assert store.get(store.add(run_at=moment)).ready_at == START + timedelta(hours=1)


def test_a_command_that_is_to_run_in_the_future_is_claimed_then_and_not_before(store: VirtualStore):
    command_id = store.add(run_at=START + timedelta(hours=1))

    store.advance(timedelta(hours=1) - timedelta(microseconds=1))
    assert store.claim() == []

    store.advance(timedelta(microseconds=1))
    assert store.claim_one().id == command_id


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(microseconds=1), timedelta(days=10_000)])
def test_a_command_that_was_to_run_in_the_past_is_ready_now(store: VirtualStore, ago: timedelta):
    stored = store.get(store.add(run_at=START - ago))

    assert stored.ready_at == START - ago
    assert store.next_due() == -ago
    assert store.due() == {QUEUE: timedelta(0)}
    assert store.claim_one().attempt == 1


def test_the_defaults_come_back_as_they_went_in(store: VirtualStore):
    stored = store.get(store.add())

    assert stored.state is State.PENDING
    assert stored.ready_at == stored.created_at == START
    assert (stored.priority, stored.attempt, stored.retries, stored.run, stored.lease_number) == (0, 0, 0, 1, 0)
    assert (stored.backoff, stored.timeout, stored.parent_id, stored.correlation_id) == (None, None, None, None)
    assert (stored.unique_key, stored.idempotency_key, stored.tags, stored.dead_letter) == (None, None, (), True)


def test_a_backoff_of_every_kind_comes_back_as_it_went_in(store: VirtualStore):
    for backoff in BACKOFFS:
        stored = store.get(store.add(backoff=BACKOFF.dump_python(backoff, mode="json")))

        assert stored.backoff == backoff


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(delay=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3660)))
@example(timedelta(microseconds=249))  # in seconds, times a million, it is 248.99999999999997
@example(timedelta(microseconds=276659389909305))
def test_a_delay_is_kept_to_the_microsecond(store: VirtualStore, delay: timedelta):
    stored = store.get(store.add(delay=delay))

    assert stored.ready_at - stored.created_at == delay
    assert stored.state is (State.SCHEDULED if delay else State.PENDING)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(timeout=st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=7)))
def test_a_timeout_is_kept_to_the_microsecond(store: VirtualStore, timeout: timedelta):
    assert store.get(store.add(timeout=timeout)).timeout == timeout


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(payload=json_values())
@example([1e308, -1e308, 5e-324, -0.0, 1e23, 1.0, 1e16, 123456789012345680.0])
@example({"b": 1, "a": 2, "": {"z": 1, "y": 2}})
def test_any_plain_json_comes_back_to_the_letter(store: VirtualStore, payload: Any):
    stored = store.get(store.add(payload=payload)).payload

    assert stored == payload
    assert strict_json.encode(stored) == strict_json.encode(payload)


def test_answers_come_in_the_order_of_the_specs_whatever_their_keys(store: VirtualStore):
    new = [new_command(unique_key=key) for key in ("c", "a", None, "b", None)]

    answers = store.enqueue(*new)

    assert [answer.id for answer in answers] == [command.id for command in new]
    assert all(answer.created for answer in answers)


def test_nothing_is_stored_for_nothing(store: VirtualStore):
    assert store.enqueue() == []
    assert store.rows() == NOTHING


def test_many_commands_are_stored_at_once(store: VirtualStore):
    new = [new_command(payload=number) for number in range(2000)]

    assert [answer.id for answer in store.enqueue(*new)] == [command.id for command in new]

    assert {row.payload for row in store.claim(limit=3000)} == set(range(2000))


@pytest.mark.parametrize("bad", [{"payload": "NUL: \0"}, {"priority": 2**40}], ids=["payload", "priority"])
def test_all_or_none_of_a_batch_are_stored(store: VirtualStore, bad: dict[str, Any]):
    if store.database.dialect == "sqlite":
        bad = {"dead_letter": 2}  # one of the few things that SQLite refuses by itself
    good = [new_command(unique_key="a", idempotency_key="a"), new_command(idempotency_key="b")]

    with pytest.raises(DatabaseError, match="commands/enqueue"):
        store.enqueue(good[0], new_command(**bad), good[1])

    assert store.rows() == NOTHING


def test_an_id_is_stored_once(store: VirtualStore):
    new = new_command()
    store.enqueue(new)

    with pytest.raises(DatabaseError, match="commands/enqueue"):
        store.enqueue(new)

    assert store.count("commands") == 1


def test_a_transaction_that_is_rolled_back_stores_nothing(store: VirtualStore):
    class ChangedMyMind(Exception):
        pass

    def enqueue_and_fail(connection: Any) -> None:
        commands.enqueue(connection, [new_command(idempotency_key="key")], now=START)
        raise ChangedMyMind

    with pytest.raises(ChangedMyMind):
        store.database.transact(enqueue_and_fail)

    assert store.rows() == NOTHING


def test_a_command_that_was_never_stored_is_not_found(store: VirtualStore):
    assert store.find(uuid4()) is None


def test_without_virtual_time_the_database_tells_the_time(store: VirtualStore):
    new: list[NewCommand] = [new_command(), new_command(delay=timedelta(hours=1))]
    before = utc_now()

    store.database.transact(lambda connection: commands.enqueue(connection, new))

    ready, future = store.get(new[0].id), store.get(new[1].id)
    # SQLite's clock ticks in milliseconds.
    assert before - timedelta(milliseconds=1) <= ready.created_at <= utc_now() + timedelta(milliseconds=1)
    assert ready.ready_at == ready.created_at
    assert future.ready_at - future.created_at == timedelta(hours=1)
    with store.database.autocommit() as connection:
        claimed = commands.claim(connection, [QUEUE], limit=9, lease=timedelta(minutes=1), worker="worker").commands
    assert [command.id for command in claimed] == [ready.id]
    assert claimed[0].lease_expires_at == claimed[0].started_at + timedelta(minutes=1)  # type: ignore[operator]


def test_a_moment_far_ahead_keeps_its_microseconds_alone_and_among_others(store: VirtualStore):
    far = datetime(2300, 1, 31, 12, 0, 0, 123457, tzinfo=UTC)
    alone, together = (new_command(run_at=far, deadline_at=far + timedelta(days=1)) for _ in range(2))
    store.database.transact(lambda connection: commands.enqueue_one(connection, alone, now=store.now))
    store.enqueue(together)

    for stored in (store.get(alone.id), store.get(together.id)):
        assert (stored.ready_at, stored.deadline_at) == (far, far + timedelta(days=1))
