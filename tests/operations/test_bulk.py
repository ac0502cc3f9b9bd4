"""Many specs at once are stored as each alone would be, whichever way they go."""

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from factories import claimed_command
from pydantic import BaseModel
from virtual_store import VirtualStore, schema_of

from durex_core import Durex, Spec, current, operations
from durex_core.backoff import Constant
from durex_core.errors import DatabaseBusy, InvalidPayload, InvalidSpec, PayloadTooLarge, UnknownCommand
from durex_core.model import Enqueued, NewCommand
from durex_core.observer import Observer
from durex_core.rules.wakes import Due
from durex_core.store import bulk
from durex_core.store.database import Database, open_database
from durex_core.store.postgres_connection import PostgresConnection

MANY = bulk.LEAST + 1
MINUTE = timedelta(minutes=1)
SUSPICIOUS = ["\\u0000", "NaN", "-Infinity", "7" * 5000, "[" * 300]
"""Words that would not do in JSON if they stood there without quotes."""

LATER = {"created_at", "ready_at", "deadline_at", "expires_at"}


class Parcel(BaseModel):
    to: str
    weight: float = 1.5


class Ear:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Due]]] = []

    def ahead(self, due: Mapping[str, Due]) -> bool:
        self.heard.append(("ahead", dict(due)))
        return True

    def ready(self, due: Mapping[str, Due]) -> bool:
        self.heard.append(("ready", dict(due)))
        return True

    def soon(self, due: Mapping[str, Due], connection: Any) -> bool:
        assert connection.run("schema/version")
        self.heard.append(("soon", dict(due)))
        return True


class Heard(Observer):
    """Keeps the new commands that it hears of."""

    def __init__(self) -> None:
        self.new: list[NewCommand] = []

    def enqueued(self, commands: Sequence[NewCommand]) -> None:
        self.new += commands


@pytest.fixture
def ear() -> Ear:
    """Who hears of work."""
    return Ear()


@pytest.fixture
def app(database: Database, ear: Ear) -> Iterator[Durex]:
    """An application with commands of all sorts."""
    app = Durex(defaults={"metadata": {"from": "app"}})
    app.command("greet", queue="q")(lambda payload: payload)
    app.command("rest", queue="q")(lambda: None)

    @app.command(
        "pack",
        priority=3,
        retries=2,
        backoff=Constant(MINUTE),
        timeout=MINUTE,
        deadline=60 * MINUTE,
        start_within=30 * MINUTE,
        period=MINUTE,
        dead_letter=False,
        tags=["a", "größer"],
        metadata={"b": 1},
        payload={"weight": 2.5},
    )
    def pack(payload: Parcel) -> None: ...

    with app.redirected(database, ear):
        yield app


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have many go in several blocks, the last one not full."""
    monkeypatch.setattr(operations.bulk, "_BLOCK", 50)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands went each time without being made one by one."""
    found: list[int] = []
    copy_alike = bulk.copy_alike

    def counting(connection: Any, templates: Any, blocks: Any, **options: Any) -> None:
        some = [tuple(map(list, block)) for block in blocks]
        found.append(sum(len(ids) for _, ids, _ in some))
        copy_alike(connection, templates, some, **options)

    monkeypatch.setattr(bulk, "copy_alike", counting)
    return found


def many(name: str = "greet") -> list[Spec]:
    return [Spec(name, {"n": number}) for number in range(MANY)]


def of_all_sorts() -> list[Spec]:
    specs = [
        Spec("greet", {"n": 1}),
        Spec("greet"),
        Spec("greet", "tab\t, \\, \\N, \n, größer, \U0001f9ea"),
        Spec("greet", [1e308, 5e-324, -0.0, 1e23, 1e16, 2**80, None, {}]),
        Spec("greet", MINUTE),
        Spec("greet", {None: 1, 2: (3, 4)}),
        Spec("rest"),
        Spec("pack", Parcel(to="you")),
        Spec("pack", {"to": "me"}),
        *(Spec("greet", {word: [word]}) for word in SUSPICIOUS),
    ]
    return [specs[number % len(specs)] for number in range(MANY)]


def rows(app: Durex, enqueued: Sequence[Enqueued]) -> list[dict[str, Any]]:
    """Return what was stored for each, with moments as they lie to the first, and payloads as they are read."""
    with app.database.autocommit() as connection:
        text = f"SELECT *, CAST(payload AS text) AS letters FROM {schema_of(connection)}commands"
        found = connection.select(text)
    by_id = {str(row.pop("id")): row for row in found}
    for row in found:
        created_at = row["created_at"]
        row |= {name: row[name] - created_at for name in LATER if row[name] is not None}
        row["letters"] = row["letters"] and repr(json.loads(row["letters"]))  # 1, 1.0 and True are equal
    return [by_id[str(each.id)] for each in enqueued]


@pytest.mark.usefixtures("small_blocks")
def test_many_are_stored_as_they_are_when_somebody_hears_of_each(app: Durex, copies: list[int]):
    specs, heard = of_all_sorts(), Heard()

    unheard = app.enqueue_many(specs)
    with app.surroundings.observers.hearing(heard):
        listened = app.enqueue_many(specs)

    assert copies == ([MANY] if app.database.dialect == "postgres" else [])
    assert all(each.created for each in unheard + listened)
    assert [each.id for each in unheard + listened] == sorted({each.id for each in unheard + listened})
    assert rows(app, unheard) == rows(app, listened)
    assert [command.id for command in heard.new] == [each.id for each in listened]


def test_who_hears_of_something_else_holds_nobody_up(app: Durex, copies: list[int]):
    class Deaf(Observer):
        def pruned(self, commands: int) -> None:
            """Hear of this alone."""

    with app.surroundings.observers.hearing(Deaf()):
        app.enqueue_many(many())
    assert copies == ([MANY] if app.database.dialect == "postgres" else [])


def test_a_block_of_large_payloads_is_small(app: Durex, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(operations.bulk, "_BLOCK_BYTES", 1000)
    blocks: list[int] = []
    copy_alike = bulk.copy_alike

    def counting(connection: Any, templates: Any, given: Any, **options: Any) -> None:
        some = [tuple(map(list, block)) for block in given]
        blocks.extend(len(ids) for _, ids, _ in some)
        copy_alike(connection, templates, some, **options)

    monkeypatch.setattr(bulk, "copy_alike", counting)
    app.enqueue_many([Spec("greet", "x" * 98)] * 75 + [Spec("greet", "x" * 2000)] * 3 + [Spec("greet", "x" * 98)] * 200)
    if app.database.dialect == "sqlite":
        assert blocks == []  # it has no COPY
    else:
        # Of 100 bytes each, but three of 2,000.
        assert (blocks[:5], sum(blocks)) == ([50, 10, 10, 10, 1], 278)


def test_many_are_stored_as_each_alone(app: Durex):
    specs = of_all_sorts()

    together = app.enqueue_many(specs)
    alone = [app.enqueue(spec) for spec in specs[:14]]

    assert rows(app, together)[:14] == rows(app, alone)


def test_wakes_know_how_many_there_are(app: Durex, ear: Ear):
    specs = of_all_sorts()

    app.enqueue_many(specs)

    packs = sum(spec.name == "pack" for spec in specs)
    expected = {"q": Due(count=MANY - packs), "pack": Due(count=packs)}
    assert ear.heard == [("ahead", expected), ("ready", expected)]


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("place", [0, 100, MANY - 1])
@pytest.mark.parametrize(
    ("bad", "error", "reason"),
    [
        (Spec("greet", float("nan")), InvalidPayload, "payload: is nan"),
        (Spec("greet", {"a": [1, -float("inf")]}), InvalidPayload, r"payload\.a\[1\]: is -inf"),
        (Spec("greet", {"a": "\0"}), InvalidPayload, r"payload\.a: holds the NUL character"),
        (Spec("greet", {"a\0": 1}), InvalidPayload, r"payload\.a\\0: holds the NUL character"),
        (Spec("greet", {"a": "\udc00"}), InvalidPayload, r"payload\.a: holds a lone surrogate"),
        (Spec("greet", {"a": object()}), InvalidPayload, r"payload\.a: has no JSON form"),
        (Spec("greet", nested(201)), InvalidPayload, "payload: is nested more than 200 levels deep"),
        (Spec("greet", nested(999)), InvalidPayload, "payload: is nested too deeply"),
        (Spec("greet", 10**4300), InvalidPayload, r"payload: .*4300 digits"),
        (Spec("greet", "x" * 2**20), PayloadTooLarge, "1,048,578 bytes"),
        (Spec("pack", {"to": 3}), InvalidPayload, r"payload\.to: "),
        (Spec("rest", 1), InvalidPayload, "command 'rest' takes no payload"),
        (Spec("nobody"), UnknownCommand, "nobody"),
        (Spec([]), InvalidSpec, "name: "),  # type: ignore[arg-type]
        (Spec("greet", retries=-1), InvalidSpec, "retries: "),
        ("greet", InvalidSpec, "instance of Spec"),
    ],
)
def test_one_that_is_refused_is_named_and_none_is_stored(
    app: Durex, place: int, bad: Any, error: type[InvalidSpec], reason: str
):
    specs: list[Any] = many()
    specs[place] = bad

    with pytest.raises(error, match=reason) as caught:
        app.enqueue_many(specs)

    assert caught.value.__notes__ == [f"in spec {place} of {MANY}, counted from 0; none of them was stored"]
    assert VirtualStore(app.database).count("commands") == 0
    assert len(app.enqueue_many(many())) == VirtualStore(app.database).count("commands")


def test_those_that_say_more_are_made_one_by_one(app: Durex, copies: list[int]):
    greeted = app.enqueue_many([*many(), Spec("greet", delay=MINUTE), Spec("greet", priority=7), Spec("rest")])
    with current.lineage(correlation_id="order:1"):
        correlated = app.enqueue_many(many())
    few = app.enqueue_many(many()[: bulk.LEAST - 1])
    keyed = app.enqueue_many([*many(), Spec("greet", unique_key="k"), Spec("greet", unique_key="k")])

    assert copies == []
    assert [app.get(greeted[place].id).priority for place in (-3, -2, -1)] == [0, 7, 0]
    assert app.get(greeted[-3].id).ready_at - app.get(greeted[-3].id).created_at == MINUTE
    assert {app.get(each.id).correlation_id for each in correlated[:3]} == {"order:1"}
    assert [each.created for each in keyed[-3:]] == [True, True, False]
    assert keyed[-1].id == keyed[-2].id
    assert VirtualStore(app.database).count("commands") == sum(map(len, (greeted, correlated, few, keyed))) - 1


def test_what_a_handler_enqueues_is_its_child_however_much_it_is(database: Database):
    app, parent = Durex(), claimed_command()
    app.command("greet")(lambda payload: payload)
    attempt: Any = SimpleNamespace(command=parent, id=parent.id, correlation_id=None, traceparent=None)

    with app.redirected(database, Ear()):
        with current.running(attempt):
            children = app.enqueue_many(many())
        others = app.enqueue_many(many())

        assert {app.get(child.id).parent_id for child in children} == {parent.id}
        assert {app.get(other.id).parent_id for other in others} == {None}


def test_many_are_stored_once_if_the_database_asks_to_begin_again(app: Durex, monkeypatch: pytest.MonkeyPatch):
    if app.database.dialect == "sqlite":
        return
    tries = []
    copy = PostgresConnection.copy

    def lose_once(connection: PostgresConnection, statement: str, blocks: Any) -> None:
        copy(connection, statement, blocks)
        tries.append(connection)
        if len(tries) == 1:
            raise DatabaseBusy("staged")

    monkeypatch.setattr(PostgresConnection, "copy", lose_once)

    enqueued = app.enqueue_many(many())

    assert len(tries) == 2
    assert len(rows(app, enqueued)) == len(enqueued) == VirtualStore(app.database).count("commands") == MANY


def test_the_collector_is_calm_while_many_are_stored(app: Durex, ear: Ear, monkeypatch: pytest.MonkeyPatch):
    before, seen = gc.get_threshold(), []
    monkeypatch.setattr(ear, "ahead", lambda _: seen.append(gc.get_threshold()))

    app.enqueue_many(many())

    assert (seen[0] > before) == (app.database.dialect == "postgres")
    assert gc.get_threshold() == before


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize("autocommit", [True, False])
def test_many_are_part_of_the_callers_transaction(postgres_url: str, *, is_committed: bool, autocommit: bool):
    app, ear = Durex(), Ear()
    app.command("greet", queue="q")(lambda payload: payload)
    with closing(open_database(postgres_url)) as database, app.redirected(database, ear):
        with closing(psycopg.connect(postgres_url, autocommit=autocommit)) as connection:
            with connection.transaction(force_rollback=not is_committed):
                enqueued = app.enqueue_many(many(), connection=connection)
                assert VirtualStore(database).count("commands") == 0
            if is_committed:
                connection.commit()

        assert len(enqueued) == MANY
        assert VirtualStore(database).count("commands") == (MANY if is_committed else 0)
        assert ear.heard == [("soon", {"q": Due(count=MANY)})]
