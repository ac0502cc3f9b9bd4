"""Many commands at once: by COPY where there is one, and then the same rows as by INSERT, to the letter."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from factories import START, compensation, new_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import json_values
from virtual_store import TABLES, VirtualStore, query

from durex_core.clock import utc_now
from durex_core.errors import DatabaseError
from durex_core.model import Enqueued, Extras, NewCommand
from durex_core.store import bulk, commands
from durex_core.store.database import Connection
from durex_core.store.rows import from_microseconds
from durex_core.strict_json import NotPlainJson

MANY = bulk.LEAST
NOTHING: dict[str, list[Any]] = {table: [] for table in TABLES}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

LETTERS: list[Any] = [
    None,
    False,
    0,
    "",
    "null",
    "007",
    '{"a": 1}',
    'it\'s "quoted" \\ \\u0000 \\n \\. \\N',
    "Grüße, 你好, \U0001f9ea, e\u0301",
    "tab\t, newline\n, return\r, bell\x07, delete\x7f",
    [1e308, -1e308, 5e-324, -0.0, 1e23, 1.0, 1e16, 123456789012345680.0, 2**80],
    {"b": 1, "a": 2, "": {"z": [None], "y": {}}},
    "x" * 300_000,
]

durations = st.timedeltas(timedelta(microseconds=1), timedelta(days=3660))
moments = st.timedeltas(timedelta(0), timedelta(days=365 * 7000)).map(lambda since: from_microseconds(0) + since)
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
ids = st.uuids(version=4)
extras = st.builds(
    Extras,
    deadline=st.none() | durations,
    start_within=st.none() | durations,
    period=st.none() | durations,
    metadata=st.dictionaries(st.text("abä:"), json_values(), max_size=3),
    sequence=st.lists(st.sampled_from(["a", "b"]), max_size=3).map(tuple),
    traceparent=st.none() | st.just(TRACE),
    join_position=st.none() | st.integers(0, 1000),
    allow_failures=st.booleans(),
)
options = st.fixed_dictionaries(
    {"payload": json_values()},
    optional={
        "name": text,
        "queue": text,
        "delay": durations,
        "run_at": moments,
        "priority": st.integers(-32768, 32767),
        "retries": st.integers(0, 1000),
        "backoff": st.sampled_from([None, {"kind": "none"}, {"kind": "constant", "delay": 1.5e-7}]),
        "timeout": st.none() | durations,
        "deadline_at": moments,
        "dead_letter": st.booleans(),
        "tags": st.lists(text, max_size=3).map(tuple),
        "correlation_id": text,
        "parent_id": ids,
        "extras": extras,
        "join_id": ids,
        "awaits": st.integers(0, 3),
        "compensations": st.lists(st.builds(compensation, text, payload=json_values()), max_size=2).map(tuple),
    },
)


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> VirtualStore:
    """An empty Postgres on virtual time."""
    store = VirtualStore(request.getfixturevalue("shared_postgres"))
    store.clear()
    return store


@contextmanager
def copied_from(least: int) -> Iterator[list[str]]:
    """Copy from so many commands on during the block, and yield what is copied."""
    copied: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        rows = bulk._rows
        patch.setattr(bulk, "LEAST", least)
        patch.setattr(bulk, "_rows", lambda new, now: (copied.append(str(row[1])) or row for row in rows(new, now)))
        yield copied


def stored(store: VirtualStore, new: list[NewCommand], *, by_copy: bool) -> list[Any]:
    """Store commands, one way or the other, and return every column of their rows as text."""
    store.clear()
    with copied_from(1 if by_copy else 10**6) as copied:
        assert store.enqueue(*new) == [Enqueued(command.id, created=True) for command in new]
        assert len(copied) == (len(new) if by_copy else 0)
    with store.database.autocommit() as connection:
        return query(connection, "SELECT commands::text AS row FROM durex.commands ORDER BY id")


def same(store: VirtualStore, *new: NewCommand) -> None:
    assert stored(store, list(new), by_copy=True) == stored(store, list(new), by_copy=False)


def test_a_copied_command_is_what_an_inserted_one_is_to_the_last_column(postgres: VirtualStore):
    plain = new_command(payload={"n": 1})
    same(
        postgres,
        plain,
        new_command(),
        new_command(
            name="päck",
            queue="parcels.fragile",
            payload={"street": "Große Straße 1"},
            delay=timedelta(hours=1, microseconds=1),
            priority=-32768,
            retries=1000,
            backoff={"kind": "constant", "delay": 1.5},
            timeout=timedelta(days=7, microseconds=-1),
            dead_letter=False,
            tags=("größer", "b", "a\\b", "b"),
            correlation_id="order:42\\n\t",
            parent_id=uuid4(),
            idempotency_key="идемпотентность",
            deadline_at=START + timedelta(days=3, microseconds=7),
            join_id=uuid4(),
            awaits=2,
            extras=Extras(
                deadline=timedelta(days=3660, microseconds=-1),
                start_within=timedelta(days=1, microseconds=1),
                period=timedelta(microseconds=1),
                metadata={"größe": [1, 2.5, None, {"a": {}}], "": "empty"},
                sequence=("pack", "ship", "pack"),
                traceparent=TRACE,
                join_position=999,
                allow_failures=True,
            ),
            compensations=(compensation("charge", payload={"amount": 1.5}, delay=timedelta(seconds=1.5)),),
        ),
        *(new_command(payload=payload) for payload in LETTERS),
        new_command(run_at=START - timedelta(days=10_000)),
        new_command(extras=Extras(start_within=timedelta(seconds=1.000001)), awaits=1),
        new_command(extras=Extras(deadline=timedelta(seconds=2), start_within=timedelta(seconds=1))),
        new_command(extras=Extras(deadline=timedelta(0), start_within=timedelta(0))),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(given=st.lists(options, min_size=1, max_size=4))
def test_whatever_is_said_of_commands_they_are_copied_as_they_are_inserted(
    postgres: VirtualStore, given: list[dict[str, Any]]
):
    same(postgres, *(new_command(**each) for each in given))


def test_commands_that_are_alike_keep_what_sets_them_apart(postgres: VirtualStore):
    alike = [{"a": 1}, {"a": 1.0}, {"a": True}, {"a": 0}, {"a": -0.0}, {"a": 0.0}, {"a": False}]
    new = [new_command(extras=Extras(metadata=metadata)) for metadata in alike]
    new += [new_command(backoff={"kind": "constant", "delay": delay}) for delay in (1, 1.0)]
    new += [new_command(compensations=(compensation("k", id=UUID(int=1), payload=payload),)) for payload in (1, True)]

    same(postgres, *new)


def test_every_field_has_its_column():
    """Whoever adds one adds it to the COPY, too."""
    inserted = set(query_columns())
    copied = {"id", "payload", "unique_key", *bulk._SHARED}

    assert copied == inserted


def query_columns() -> list[str]:
    from durex_core.store import statements  # noqa: PLC0415

    text = statements.load("postgres", "commands/enqueue").parts[0]
    return [name.strip() for name in text.partition("(")[2].partition(")")[0].split(",")]


def test_many_keep_the_order_of_their_answers_whatever_their_keys(store: VirtualStore):
    held = new_command(unique_key="held")
    asked = new_command(idempotency_key="asked")
    store.enqueue(held, asked)
    new = [new_command(payload=number) for number in range(2 * MANY)]
    new[3] = replace(new[3], unique_key="held")
    new[5] = replace(new[5], unique_key="z")
    new[6] = replace(new[6], unique_key="a")
    new[9] = replace(new[9], idempotency_key="asked")
    new[10] = replace(new[10], idempotency_key="fresh")
    new[11] = replace(new[11], idempotency_key="fresh")
    new[12] = replace(new[12], idempotency_key="both", unique_key="held")
    new[13] = replace(new[13], idempotency_key="both")

    answers = store.enqueue(*new)

    expected = [Enqueued(command.id, created=True) for command in new]
    expected[3] = expected[12] = expected[13] = Enqueued(held.id, created=False)
    expected[9] = Enqueued(asked.id, created=False)
    expected[11] = Enqueued(new[10].id, created=False)
    assert answers == expected
    assert store.count("commands") == 2 + len(new) - 5
    assert store.enqueue(new_command(idempotency_key="both")) == [Enqueued(held.id, created=False)]


@pytest.mark.parametrize("place", [0, MANY, 2 * MANY - 1])
def test_all_or_none_of_many_are_stored(postgres: VirtualStore, place: int):
    new = [new_command(payload=number) for number in range(2 * MANY)]
    new[1] = replace(new[1], idempotency_key="key")

    for bad, error in (
        ({"id": new[7].id}, DatabaseError),
        ({"payload": "NUL: \0"}, NotPlainJson),
        ({"name": "NUL: \0"}, DatabaseError),
    ):
        some = new.copy()
        some[place] = replace(some[place], **bad)  # type: ignore[arg-type]
        with pytest.raises(error):
            postgres.enqueue(*some)
        assert postgres.rows() == NOTHING

    assert len(postgres.enqueue(*new)) == postgres.count("commands") == len(new)


def test_many_with_unique_keys_are_inserted_in_portions(store: VirtualStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commands, "_INSERTED_AT_ONCE", 7)
    new = [new_command(payload=number, unique_key=f"key:{number % 20}") for number in range(50)]

    answers = store.enqueue(*new)

    first = {command.unique_key: command for command in reversed(new)}
    assert {answer.id for answer in answers} == {answers[place].id for place in range(20)}
    assert sum(answer.created for answer in answers) == store.count("commands") == len(first) == 20


def test_without_virtual_time_many_have_the_time_of_their_transaction(postgres: VirtualStore):
    new = [new_command(delay=timedelta(hours=number % 2)) for number in range(MANY)]
    before = utc_now()

    def enqueue(connection: Connection) -> datetime:
        commands.enqueue(connection, new)
        (row,) = query(connection, "SELECT now() AS now")
        moment: datetime = row["now"]
        return moment

    moment = postgres.database.transact(enqueue)

    ready, future = postgres.get(new[0].id), postgres.get(new[1].id)
    assert before <= moment == ready.created_at == ready.ready_at == future.created_at
    assert future.ready_at - moment == timedelta(hours=1)


def test_the_present_is_the_databases_or_what_a_test_says(store: VirtualStore):
    before = utc_now()
    with store.database.autocommit() as connection:
        assert bulk._present(connection, START) == START
        present = bulk._present(connection, None)

    # SQLite's clock ticks in milliseconds.
    assert before - timedelta(milliseconds=1) <= present <= utc_now() + timedelta(milliseconds=1)
