"""`durex.enqueue(…)`: what SQL callers store is what Python callers store, and keys bind both."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from databases import fresh_postgres
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json

from durex_core import Durex, Spec
from durex_core.backoff import Constant
from durex_core.errors import CommandNotFound, InvalidSpec
from durex_core.ids import is_ingested
from durex_core.model import Command, State

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HOUR = timedelta(hours=1)
OWN = {"id", "created_at", "ready_at", "deadline_at", "expires_at"}


@pytest.fixture(scope="module")
def app(postgres_server: str, postgres_template: str) -> Iterator[Durex]:
    """An application on a Postgres, whose handlers the database knows."""
    with fresh_postgres(postgres_server, postgres_template) as url, closing(Durex(url)) as app:

        @app.command("plain")
        def plain() -> None: ...

        @app.command(
            "rich",
            queue="lane",
            payload={"size": 1, "kind": "parcel"},
            retries=3,
            backoff=Constant(delay=timedelta(seconds=5)),
            timeout=timedelta(seconds=30),
            deadline=HOUR,
            start_within=timedelta(minutes=5),
            period=timedelta(minutes=2),
            priority=7,
            dead_letter=False,
            tags=("a", "b"),
            metadata={"team": "shop", "level": 1},
        )
        def rich(payload: dict[str, Any]) -> None: ...

        app.migrate()
        yield app


@pytest.fixture(scope="module")
def sql(app: Durex) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(app.database_url, autocommit=True) as connection:
        yield connection


def call(sql: psycopg.Connection[Any], name: str, payload: Any = None, **options: Any) -> tuple[UUID, bool]:
    given = {option: Json(value) if option == "metadata" else value for option, value in options.items()}
    arguments = "".join(f", {option} => %({option})s" for option in given)
    row = sql.execute(
        f"SELECT id, created FROM durex.enqueue(%(name)s, %(payload)s{arguments})",  # type: ignore[arg-type]
        {"name": name, "payload": None if payload is None else Json(payload), **given},
    ).fetchone()
    assert row is not None
    return row


def compared(command: Command) -> dict[str, Any]:
    """Return a command without what no two commands share; its times as distances from its creation."""
    told = {field.name: getattr(command, field.name) for field in fields(command) if field.name not in OWN}
    for name in ("ready_at", "deadline_at", "expires_at"):
        moment = getattr(command, name)
        told[name] = moment and round((moment - command.created_at).total_seconds(), 3)
    return told


def count(sql: psycopg.Connection[Any]) -> int:
    return int(sql.execute("SELECT count(*) FROM durex.commands").fetchone()[0])  # type: ignore[index]


durations = st.timedeltas(timedelta(0), timedelta(days=7)).map(lambda d: timedelta(seconds=d // timedelta(seconds=1)))
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
options = st.fixed_dictionaries(
    {},
    optional={
        "delay": durations,
        "priority": st.integers(-32768, 32767),
        "retries": st.integers(0, 1000),
        "timeout": durations,
        "deadline": durations,
        "start_within": durations,
        "period": durations.filter(bool),
        "dead_letter": st.booleans(),
        "tags": st.lists(texts, max_size=3),
        "metadata": st.dictionaries(texts, st.integers() | texts | st.none() | st.just([None, -0.0]), max_size=3),
        "correlation_id": texts,
        "traceparent": st.just(TRACE),
    },
)


@settings(max_examples=60)
@given(name=st.sampled_from(["plain", "rich"]), given=options, payload=st.none() | st.just({"size": 2, "to": "Åsa"}))
def test_sql_and_python_store_the_same(
    app: Durex, sql: psycopg.Connection[Any], name: str, given: dict[str, Any], payload: Any
):
    payload = payload if name == "rich" else None

    from_sql, created = call(sql, name, payload, **given)

    from_python = app.enqueue(Spec(name, payload, **given)).id
    assert created
    assert compared(app.get(from_sql)) == compared(app.get(from_python))


def test_an_id_made_by_sql_is_a_uuid_of_version_7_with_the_time(app: Durex, sql: psycopg.Connection[Any]):
    command_id, _ = call(sql, "plain")

    created_ms = int(app.get(command_id).created_at.timestamp() * 1000)
    assert (command_id.version, command_id.variant) == (7, "specified in RFC 4122")
    assert abs((command_id.int >> 80) - created_ms) < 5_000


def test_no_id_made_by_sql_is_that_of_an_accepted_command(sql: psycopg.Connection[Any]):
    made = [command_id for (command_id,) in sql.execute("SELECT durex.new_id() FROM generate_series(1, 200)")]

    assert not any(is_ingested(command_id) for command_id in made)
    assert {(command_id.version, command_id.variant) for command_id in made} == {(7, "specified in RFC 4122")}
    assert len(set(made)) == 200


def test_a_unique_key_binds_sql_and_python_alike(app: Durex, sql: psycopg.Connection[Any]):
    first = app.enqueue("plain", unique_key="order:1")

    assert call(sql, "plain", unique_key="order:1") == (first.id, False)

    second, created = call(sql, "plain", unique_key="order:2")
    assert created
    assert app.enqueue("plain", unique_key="order:2") == type(first)(second, created=False)


def test_an_idempotency_key_binds_sql_and_python_alike(app: Durex, sql: psycopg.Connection[Any]):
    first = app.enqueue("plain", idempotency_key="request 1")
    second, _ = call(sql, "plain", idempotency_key="request 2")

    assert call(sql, "plain", idempotency_key="request 1") == (first.id, False)
    assert app.enqueue("plain", idempotency_key="request 2").id == second
    assert call(sql, "rich", idempotency_key="request 1")[1], "a key belongs to a name"


def test_an_idempotency_key_stands_for_the_holder_of_the_unique_key(app: Durex, sql: psycopg.Connection[Any]):
    holder = app.enqueue("plain", unique_key="order:3").id

    assert call(sql, "plain", unique_key="order:3", idempotency_key="request 3") == (holder, False)
    app.cancel(holder)
    assert call(sql, "plain", unique_key="order:3", idempotency_key="request 3") == (holder, False)


def test_it_is_part_of_the_callers_transaction(app: Durex, sql: psycopg.Connection[Any]):
    with sql.transaction(force_rollback=True):
        command_id, _ = call(sql, "plain")

    with pytest.raises(CommandNotFound):
        app.get(command_id)


def test_a_moment_to_run_at_makes_it_scheduled(app: Durex, sql: psycopg.Connection[Any]):
    later = datetime.now(UTC).replace(microsecond=0) + HOUR  # noqa: TID251  SQL's own clock is compared with it
    scheduled, _ = call(sql, "plain", run_at=later, deadline_at=later + HOUR)
    past, _ = call(sql, "plain", run_at=later - 2 * HOUR)

    assert (app.get(scheduled).state, app.get(scheduled).ready_at) == (State.SCHEDULED, later)
    assert app.get(scheduled).deadline_at == later + HOUR
    assert app.get(past).state is State.PENDING


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("delay", timedelta(days=-1)),
        ("delay", timedelta(days=4000)),
        ("priority", 40_000),
        ("retries", -1),
        ("timeout", timedelta(days=8)),
        ("deadline", timedelta(days=4000)),
        ("start_within", timedelta(days=-1)),
        ("period", timedelta(0)),
        ("tags", [""]),
        ("tags", [f"tag {number}" for number in range(21)]),
        ("metadata", [1]),
        ("metadata", {"much": "x" * 17_000}),
        ("correlation_id", ""),
        ("unique_key", "a\nb"),
        ("idempotency_key", "x" * 256),
        ("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        ("run_at", datetime(1969, 12, 31, tzinfo=UTC)),
        ("run_at", datetime(9001, 1, 1, tzinfo=UTC)),
        ("deadline_at", datetime(9001, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_python_refuses_sql_refuses_and_stores_nothing(
    app: Durex, sql: psycopg.Connection[Any], option: str, value: Any
):
    before = count(sql)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"durex.enqueue: {option}: "):
        call(sql, "plain", **{option: value})

    with pytest.raises(InvalidSpec, match=option):
        app.enqueue(Spec("plain", **{option: value}))
    assert count(sql) == before


def test_an_unknown_name_is_refused_with_what_to_do(sql: psycopg.Connection[Any]):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="no command named 'nobody' is known") as caught:
        call(sql, "nobody")

    assert "durex migrate" in (caught.value.diag.message_hint or "")


def test_a_handler_that_changed_is_known_anew(app: Durex, sql: psycopg.Connection[Any]):
    other = Durex(app.database_url)
    other.command("changing", retries=1)(lambda: None)
    other.migrate()
    first, _ = call(sql, "changing")
    other.command("changing", retries=2, replace=True)(lambda: None)
    other.migrate()
    second, _ = call(sql, "changing")
    other.close()

    assert (app.get(first).retries, app.get(second).retries) == (1, 2)


def test_text_that_no_database_can_hold_is_refused(sql: psycopg.Connection[Any]):
    before = count(sql)
    for payload in ("\0", "\ud800"):
        with pytest.raises(psycopg.errors.DataError):
            call(sql, "rich", {"text": payload})

    assert count(sql) == before


DEEP = "[" * 201 + "]" * 201


@pytest.mark.parametrize("option", ["payload", "metadata"])
@pytest.mark.parametrize(
    "text",
    ['{"n": 1e400}', '{"n": [{"m": -1e400}]}', '{"n": 1' + "0" * 5000 + "}", f'{{"n": {DEEP}}}'],
    ids=lambda t: t[:12],
)
def test_a_document_that_a_worker_could_not_read_is_refused(sql: psycopg.Connection[Any], option: str, text: str):
    """Stored, it would fail every claim and listing that it is part of."""
    before = count(sql)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"durex.enqueue: {option}: is nested deeper than"):
        sql.execute(f"SELECT durex.enqueue('rich', {option} => %s::json)", [text])  # type: ignore[arg-type]

    assert count(sql) == before


def test_the_largest_that_python_takes_is_taken(app: Durex, sql: psycopg.Connection[Any]):
    payload = {"large": 1.7e308, "small": -1.7e308, "deep": json.loads("[" * 190 + "]" * 190)}
    assert app.get(call(sql, "rich", payload)[0]).payload == {"size": 1, "kind": "parcel", **payload}


@pytest.mark.parametrize("moment", ["infinity", "-infinity"])
@pytest.mark.parametrize("option", ["run_at", "deadline_at"])
def test_a_moment_without_end_is_refused(sql: psycopg.Connection[Any], option: str, moment: str):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"durex.enqueue: {option}: give a moment"):
        sql.execute(f"SELECT durex.enqueue('plain', {option} => %s::timestamptz)", [moment])  # type: ignore[arg-type]


def test_a_start_after_the_deadline_is_refused(sql: psycopg.Connection[Any]):
    later = datetime(2199, 1, 1, tzinfo=UTC)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="run_at: is not before deadline_at"):
        call(sql, "plain", run_at=later, deadline_at=later)
