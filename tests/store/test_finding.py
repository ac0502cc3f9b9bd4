"""Listings: what a query narrows, in which order commands come, and that pages neither skip nor double any."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from factories import QUEUE, START, error_info, new_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from virtual_store import VirtualStore, query, schema_of

from durex_core.errors import InvalidQuery
from durex_core.model import Command, State
from durex_core.queries import MAX_LIMIT, Order, Page, Query, check, make_query
from durex_core.rules.outcomes import Failed, Repeated, Returned, Settlement
from durex_core.store import finding, statements

SECOND = timedelta(seconds=1)
UNKNOWN = UUID("019a2063-fc05-72e4-9bc1-56922de41a35")


def find(store: VirtualStore, **options: Any) -> Page:
    with store.database.autocommit() as connection:
        return finding.find(connection, make_query(options))


def ids(store: VirtualStore, **options: Any) -> list[UUID]:
    return [command.id for command in find(store, **options)]


_numbers = count(1)


def next_id() -> UUID:
    """Return an id that is greater than the one before; those of one millisecond are in no order else."""
    return UUID(int=UNKNOWN.int + next(_numbers))


def add(store: VirtualStore, **options: Any) -> UUID:
    return store.add(id=next_id(), **options)


def start(store: VirtualStore, **options: Any) -> Command:
    return store.start(id=next_id(), **options)


def finish(store: VirtualStore, state: State, **options: Any) -> UUID:
    attempt = start(store, **options)
    assert store.write(Settlement(attempt, state, "by hand"))
    return attempt.id


def test_live_and_finished_commands_are_listed_the_newest_first(store: VirtualStore):
    done = finish(store, State.COMPLETED)
    failed = finish(store, State.DEAD_LETTER)
    waiting = add(store, delay=SECOND)
    started = start(store).id

    assert ids(store) == [started, waiting, failed, done]
    assert ids(store, descending=False) == [done, failed, waiting, started]


def test_a_listed_command_is_the_same_as_one_that_is_looked_up(store: VirtualStore):
    options: dict[str, Any] = {
        "tags": ("a",),
        "correlation_id": "c",
        "unique_key": "u",
        "payload": {"x": [1.5]},
        "queue": "q",
        "deadline_at": START + timedelta(hours=1),
    }
    store.settle(start(store, **options), Failed(error_info()))
    start(store, **options)
    add(store, **options | {"unique_key": None})

    found = find(store).commands

    assert [command.state for command in found] == [State.PENDING, State.STARTED, State.DEAD_LETTER]
    assert list(found) == [store.get(command.id) for command in found]


def test_a_listing_has_every_column_of_both_tables(store: VirtualStore):
    with store.database.autocommit() as connection:
        dialect = connection.dialect
        (shape,) = (
            connection.raw.execute(f"SELECT * FROM {schema_of(connection)}all_commands"),  # type: ignore[attr-defined]
        )

    wanted = {column[0] for column in shape.description}
    for columns in (finding._LIVE_COLUMNS, finding._FINISHED_COLUMNS):
        assert {column.split()[-1] for column in columns[dialect].split(",")} == wanted


@pytest.fixture
def one_of_each(store: VirtualStore) -> dict[State, UUID]:
    """A command in every state."""
    found = {state: finish(store, state) for state in State if state.is_terminal}
    found[State.STARTED] = start(store).id
    repeating = start(store, queue="again")
    assert store.settle(repeating, Repeated(delay=SECOND))
    found[State.REPEATING] = repeating.id
    found[State.SCHEDULED] = add(store, delay=SECOND)
    found[State.WAITING] = add(store, awaits=1)
    found[State.PAUSED] = add(store)
    with store.database.transaction() as connection:
        query(connection, f"UPDATE {schema_of(connection)}commands SET state = 'paused' WHERE state = 'pending'")
    found[State.PENDING] = add(store)
    return found


@pytest.mark.parametrize("state", State)
def test_a_state_is_asked_for(store: VirtualStore, one_of_each: dict[State, UUID], state: State):
    # The run of a repeating command that ended is a completed command of the same id.
    more = [one_of_each[State.REPEATING]] if state is State.COMPLETED else []

    assert ids(store, state=state) == [*more, one_of_each[state]]
    assert ids(store, state=state.value) == [*more, one_of_each[state]]


def test_several_states_are_asked_for(store: VirtualStore, one_of_each: dict[State, UUID]):
    wanted = [State.PENDING, State.DEAD_LETTER]

    assert set(ids(store, states=wanted)) == {one_of_each[state] for state in wanted}


@pytest.mark.parametrize(
    ("states", "live", "finished"),
    [
        (["pending", "scheduled"], True, ""),
        (["completed"], False, "retention = 'completed'"),
        (["dead_letter", "cancelled"], False, "retention = 'attention'"),
        (["completed", "failed"], False, ""),
        (None, True, ""),
    ],
)
def test_only_what_may_hold_something_is_read(store: VirtualStore, states: list[str] | None, live: bool, finished: str):
    texts: list[str] = []
    with store.database.autocommit() as connection:
        finding.find(Spy(connection, texts), make_query({"states": states}))  # type: ignore[arg-type]

    (text,) = texts
    assert ("FROM durex.commands" in text or "FROM commands" in text) is live
    reads_finished = "finished_commands" in text
    assert reads_finished is any(State(state).is_terminal for state in states or State)
    is_partitioned = store.database.dialect == "postgres"
    assert not is_partitioned or finished in text
    assert ("retention" in text) is (is_partitioned and bool(finished))


class Spy:
    """A connection whose composed queries are kept."""

    def __init__(self, connection: Any, texts: list[str]) -> None:
        self.dialect = connection.dialect
        self._connection = connection
        self._texts = texts

    def select(self, text: str, **parameters: Any) -> Any:
        self._texts.append(text)
        return self._connection.select(text, **parameters)


NARROWING = {
    "names": ({"name": "other", "queue": QUEUE}, {"name": "other"}, {"names": ["other", "none"]}),
    "queues": ({"queue": "other"}, {"queue": "other"}, {"queues": ["other", "none"]}),
    "parent_id": ({"parent_id": UNKNOWN}, {"parent_id": UNKNOWN}, {"parent_id": str(UNKNOWN)}),
    "correlation_id": ({"correlation_id": "c"}, {"correlation_id": "c"}, {"correlation_id": "c"}),
    "unique_key": ({"unique_key": "u"}, {"unique_key": "u"}, {"unique_key": "u"}),
    "tags": ({"tags": ("a", "b")}, {"tag": "a"}, {"tags": ["b", "a"]}),
    "payload": (
        {"payload": {"a": {"b": [{"c": "é"}]}}},
        {"payload": {"a.b.0.c": "é"}},
        {"payload": {"a.b": [{"c": "é"}]}},
    ),
}


@pytest.mark.parametrize("name", NARROWING)
def test_what_narrows_a_query_finds_live_and_finished_commands(store: VirtualStore, name: str):
    options, asked, asked_otherwise = NARROWING[name]
    done = finish(store, State.COMPLETED, **options)
    live = add(store, **options)
    add(store)
    finish(store, State.FAILED)

    assert ids(store, **asked) == [live, done]
    assert ids(store, **asked_otherwise) == [live, done]


def test_all_tags_must_be_there(store: VirtualStore):
    both, _ = add(store, tags=("a", "b")), add(store, tags=("a",))

    assert ids(store, tags=["a", "b"]) == [both]
    assert ids(store, tags=["a", "c"]) == []


def test_conditions_add_up(store: VirtualStore):
    wanted = add(store, tags=("a",), correlation_id="c", queue="q")
    add(store, tags=("a",), queue="q")
    add(store, correlation_id="c", queue="q")

    assert ids(store, tag="a", correlation_id="c", queue="q", state="pending") == [wanted]


def test_creation_is_asked_for_from_one_moment_to_another(store: VirtualStore):
    found = []
    for number in range(4):
        found.append(finish(store, State.COMPLETED) if number % 2 else add(store, queue="rest"))
        store.advance(SECOND)

    assert ids(store, created_after=START + SECOND, created_before=START + 3 * SECOND) == [found[2], found[1]]
    assert ids(store, created_after=START + 3 * SECOND) == [found[3]]
    assert ids(store, created_before=START) == []
    assert ids(store, created_before=(START + SECOND).astimezone(UTC)) == [found[0]]


PAYLOADS: list[tuple[Any, str, Any, bool]] = [
    ({"a": 1}, "a", 1, True),
    ({"a": 1}, "a", 1.0, True),
    ({"a": 1.0}, "a", 1, True),
    ({"a": 0.1}, "a", 0.1, True),
    ({"a": -0.0}, "a", 0, True),
    ({"a": 10**23}, "a", 1e23, True),  # which no float is
    ({"a": 10**30}, "a", 10**30, True),
    ({"a": 10**30}, "a", 10**30 + 1, False),
    ({"a": 1}, "a", "1", False),
    ({"a": True}, "a", 1, False),
    ({"a": 1}, "a", True, False),
    ({"a": False}, "a", 0, False),
    ({"a": True}, "a", True, True),
    ({"a": None}, "a", None, True),
    ({"a": None}, "b", None, False),
    ({"a": "x"}, "a", "x", True),
    ({"a": "x"}, "a", "X", False),
    ({"a": ""}, "a", "", True),
    ({"a": {"x": 1, "y": [True]}}, "a", {"y": [True], "x": 1.0}, True),
    ({"a": {"x": 1, "y": 2}}, "a", {"x": 1}, False),
    ({"a": {"x": 1}}, "a", {"x": True}, False),
    ({"a": [1, 2]}, "a", [1, 2], True),
    ({"a": [1, 2]}, "a", [2, 1], False),
    ({"a": [1, 2]}, "a", [1], False),
    ({"a": [1, 2]}, "a.0", 1, True),
    ({"a": [1, 2]}, "a.1", 2, True),
    ({"a": [1, 2]}, "a.2", 2, False),
    ({"a": [1, 2]}, "a.01", 2, True),
    ({"a": [1, 2]}, "a.99999999999999999999", 2, False),
    ({"a": [1, 2]}, "a.x", 1, False),
    ([[{"b": "x"}]], "0.0.b", "x", True),
    ({"0": "x"}, "0", "x", True),
    ({"a": {"-": 1}}, "a.-", 1, True),
    ({"a b": {"$c": {'"d': {"e\\": {"[f]": {"é": "y"}}}}}}, 'a b.$c."d.e\\.[f].é', "y", True),
    ({"a": "x"}, "a.b", "x", False),
    ({"a": {}}, "a.b", None, False),
    ({"a": "²"}, "a.²", "²", False),
    ([1], "²", 1, False),
    ("x", "a", "x", False),
    (None, "a", None, False),
    (7, "0", 7, False),
]


@pytest.mark.parametrize(("payload", "path", "value", "is_found"), PAYLOADS)
def test_a_value_in_the_payload_is_the_same_on_both_databases(
    store: VirtualStore, payload: Any, path: str, value: Any, is_found: bool
):
    add(store, payload=payload)

    assert len(ids(store, payload={path: value})) == is_found


def test_all_values_in_the_payload_must_be_there(store: VirtualStore):
    wanted, _ = add(store, payload={"a": 1, "b": {"c": 2}}), add(store, payload={"a": 1, "b": {"c": 3}})

    assert ids(store, payload={"a": 1, "b.c": 2}) == [wanted]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, -2.0])
    | st.sampled_from(["", "a", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "0", "é"]), inner, max_size=2),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(payload=JSON, value=JSON)
def test_payloads_are_compared_as_json_values(store: VirtualStore, payload: Any, value: Any):
    store.clear()
    add(store, payload={"a": payload})

    assert len(ids(store, payload={"a": value})) == (canonical(payload) == canonical(value))


def canonical(value: Any) -> Any:
    """Tell true from 1, and let 1 be 1.0."""
    match value:
        case bool():
            return ("bool", value)
        case dict():
            return {key: canonical(item) for key, item in value.items()}
        case list():
            return [canonical(item) for item in value]
        case _:
            return value


# --- order and pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("order", Order)
def test_pages_follow_the_order_without_gaps_and_doubles(store: VirtualStore, order: Order, descending: bool):
    fill(store)

    listed = list(pages(store, 2, order_by=order, descending=descending))

    assert [(c.id, c.run) for c in listed] == expected(everything(store), order, descending=descending)


def fill(store: VirtualStore) -> None:
    """Store commands with ties in everything, and several runs of one."""
    repeating = add(store, queue="again", priority=1)
    for number in range(3):
        store.enqueue(*(new_command(id=next_id(), priority=number % 2, queue=f"q{i % 2}") for i in range(3)))
        assert store.settle(store.claim_one("again"), Repeated(number, delay=timedelta(0)))
        for attempt in store.claim("q1"):
            store.settle(attempt, Returned() if number % 2 else Failed(error_info()))
        store.advance(SECOND * (number % 2))
    assert len([c for c in everything(store) if c.id == repeating]) == 4


def everything(store: VirtualStore) -> list[Command]:
    return [
        *find(store, limit=MAX_LIMIT, states=[state for state in State if not state.is_terminal]),
        *find(store, limit=MAX_LIMIT, states=[state for state in State if state.is_terminal]),
    ]


def pages(store: VirtualStore, limit: int, **options: Any) -> Iterator[Command]:
    cursor = None
    while True:
        page = find(store, limit=limit, cursor=cursor, **options)
        assert len(page.commands) == limit or page.next_cursor is None
        yield from page
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def expected(commands: list[Command], order: Order, *, descending: bool) -> list[tuple[UUID, int]]:
    """Sort in Python what the database is to sort."""

    def key(command: Command) -> tuple[Any, ...]:
        first = () if order is Order.CREATED_AT else (getattr(command, order.value),)
        return (*first, command.id, command.run)

    ordered = sorted((c for c in commands if order is not Order.FINISHED_AT or c.finished_at), key=key)
    return [(c.id, c.run) for c in (reversed(ordered) if descending else ordered)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    kinds=st.lists(st.tuples(st.sampled_from(["live", "done", "dead", "again"]), st.integers(0, 2)), max_size=12),
    limit=st.integers(1, 5),
    order=st.sampled_from(Order),
    descending=st.booleans(),
    states=st.none()
    | st.sets(st.sampled_from([State.PENDING, State.REPEATING, State.COMPLETED, State.DEAD_LETTER]), min_size=1),
)
def test_paging_agrees_with_a_sorted_list(
    store: VirtualStore,
    *,
    kinds: list[tuple[str, int]],
    limit: int,
    order: Order,
    descending: bool,
    states: set[State] | None,
):
    store.clear()
    for kind, priority in kinds:
        add_kind(store, kind, priority)
    if order is Order.FINISHED_AT and states and not any(state.is_terminal for state in states):
        return
    wanted = [command for command in everything(store) if states is None or command.state in states]

    listed = list(pages(store, limit, order_by=order, descending=descending, states=states))

    assert [(c.id, c.run) for c in listed] == expected(wanted, order, descending=descending)


def add_kind(store: VirtualStore, kind: str, priority: int) -> None:
    command_id = add(store, queue=kind, priority=priority)
    if kind == "live":
        store.advance(SECOND * priority)
        return
    attempt = next(claimed for claimed in store.claim(kind, limit=100) if claimed.id == command_id)
    outcome = {"done": Returned(), "dead": Failed(error_info()), "again": Repeated(delay=SECOND * 1000)}[kind]
    assert store.settle(attempt, outcome)


def test_what_comes_and_goes_between_pages_disturbs_nothing_else(store: VirtualStore):
    kept = [add(store, queue="kept") for _ in range(6)]
    passing = [start(store) for _ in range(2)]
    first = find(store, limit=3)

    add(store)
    for attempt in passing:
        store.settle(attempt, Returned())
    rest = list(find(store, limit=MAX_LIMIT, cursor=first.next_cursor))

    assert [c.id for c in first if c.queue == "kept"] + [c.id for c in rest if c.queue == "kept"] == kept[::-1]


def test_the_last_page_has_no_cursor_even_if_it_is_full(store: VirtualStore):
    for _ in range(4):
        add(store)

    first = find(store, limit=2)
    last = find(store, limit=2, cursor=first.next_cursor)

    assert (len(last.commands), last.next_cursor) == (2, None)
    assert find(store, limit=4).next_cursor is None
    assert find(store, queue="none") == Page(())


def test_a_cursor_fits_into_a_url(store: VirtualStore):
    for _ in range(2):
        add(store)

    for order in (Order.CREATED_AT, Order.READY_AT, Order.PRIORITY):
        cursor = find(store, limit=1, order_by=order).next_cursor
        assert cursor is not None
        assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


# --- refusals ------------------------------------------------------------------------------------------------------


def cursor_of(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


ID = str(UNKNOWN)
CURSORS = {
    "text": "no cursor",
    "empty": "",
    "not ASCII": "é",
    "no base64": "a",
    "not UTF-8": "_____w",
    "no JSON": "bm9uZQ",
    "an object": base64.urlsafe_b64encode(b"{}").decode(),
    "too short": cursor_of("created_at", True, ID, 1),
    "no id": cursor_of("created_at", True, "42", 1, None),
    "a run of zero": cursor_of("created_at", True, ID, 0, None),
    "a run beyond integers": cursor_of("created_at", True, ID, 2**31, None),
    "a value that is not needed": cursor_of("created_at", True, ID, 1, 5),
    "an unknown order": cursor_of("name", True, ID, 1, 5),
}


@pytest.mark.parametrize("kind", CURSORS)
def test_a_malformed_cursor_is_refused(store: VirtualStore, kind: str):
    with pytest.raises(InvalidQuery, match=r"cursor: .* begin anew without a cursor") as refused:
        find(store, cursor=CURSORS[kind])

    assert refused.value.field == "cursor"


@pytest.mark.parametrize(
    ("order", "value"), [("ready_at", 10**30), ("ready_at", None), ("finished_at", -(10**18)), ("priority", None)]
)
def test_a_cursor_with_a_value_that_cannot_be_is_refused(store: VirtualStore, order: str, value: int | None):
    with pytest.raises(InvalidQuery, match="cursor"):
        find(store, order_by=order, cursor=cursor_of(order, True, ID, 1, value))


@pytest.mark.parametrize(
    ("order", "value"),
    [("ready_at", 253_402_300_799_999_999), ("ready_at", -62_135_596_800_000_000), ("priority", 10**17)],
)
def test_a_cursor_at_the_end_of_all_values_is_taken(store: VirtualStore, order: str, value: int):
    assert (
        find(store, order_by=order, descending=False, cursor=cursor_of(order, False, ID, 1, value)).next_cursor is None
    )


@pytest.mark.parametrize("other", [{"order_by": "priority"}, {"descending": False}])
def test_a_cursor_of_another_ordering_is_refused(store: VirtualStore, other: dict[str, Any]):
    add(store)
    add(store)
    cursor = find(store, limit=1).next_cursor

    with pytest.raises(InvalidQuery, match="cursor: belongs to a listing ordered by created_at descending, this one"):
        find(store, limit=1, cursor=cursor, **other)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"state": "done"}, "states[0]"),
    ({"states": ["failed", "done"]}, "states[1]"),
    ({"states": []}, "states"),
    ({"states": "failed", "state": "failed"}, "state"),
    ({"name": "no name"}, "names[0]"),
    ({"names": 7}, "names"),
    ({"queue": ""}, "queues[0]"),
    ({"tag": "\x00"}, "tags[0]"),
    ({"tags": ["a"] * 101}, "tags"),
    ({"parent_id": "42"}, "parent_id"),
    ({"correlation_id": ""}, "correlation_id"),
    ({"unique_key": "\ud800"}, "unique_key"),
    ({"created_after": datetime(2026, 1, 1)}, "created_after"),  # noqa: DTZ001  that is the point
    ({"created_before": "yesterday"}, "created_before"),
    ({"limit": 0}, "limit"),
    ({"limit": 501}, "limit"),
    ({"limit": True}, "limit"),
    ({"limit": "10"}, "limit"),
    ({"descending": "no"}, "descending"),
    ({"order_by": "name"}, "order_by"),
    ({"order_by": "finished_at", "state": "pending"}, "order_by"),
    ({"payload": {}}, "payload"),
    ({"payload": {"": 1}}, "payload"),
    ({"payload": {"a..b": 1}}, "payload"),
    ({"payload": {"a.-1": 1}}, "payload"),
    ({"payload": {"a.+1": 1}}, "payload"),
    ({"payload": {"a. 1": 1}}, "payload"),
    ({"payload": {".".join("a" * 21): 1}}, "payload"),
    ({"payload": {"a": float("nan")}}, "payload"),
    ({"payload": {"a": "\x00"}}, "payload"),
    ({"payload": {"a": object()}}, "payload"),
    ({"payload": {"\x00": 1}}, "payload"),
    ({"payload": "a=1"}, "payload"),
    ({"cursor": 7}, "cursor"),
    ({"offset": 3}, "offset"),
]


@pytest.mark.parametrize(("options", "field"), REFUSED)
def test_a_query_is_refused_by_the_name_of_its_field(options: dict[str, Any], field: str):
    with pytest.raises(InvalidQuery) as refused:
        make_query(options)

    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")


def test_a_refusal_says_which_value_it_was_and_what_could_be():
    with pytest.raises(InvalidQuery, match=r"states\[0\]: .*'dead_letter'.*, not 'done'"):
        make_query({"state": "done"})
    with pytest.raises(InvalidQuery, match="offset: is no filter; there are correlation_id, created_after"):
        make_query({"offset": 1})


def test_a_query_may_be_made_by_hand_and_is_checked_when_it_is_used():
    by_hand = Query(states=["failed"], limit=7)  # type: ignore[arg-type]

    assert check(by_hand) == make_query({"state": State.FAILED, "limit": 7})
    with pytest.raises(InvalidQuery, match="limit"):
        check(replace(by_hand, limit=1000))


def test_no_value_ever_stands_in_the_text(store: VirtualStore):
    texts: list[str] = []
    evil = "'; DROP TABLE commands; --"
    with store.database.autocommit() as connection:
        asked = {"tag": evil, "correlation_id": evil, "unique_key": evil, "payload": {evil: evil}}
        finding.find(Spy(connection, texts), make_query(asked))  # type: ignore[arg-type]

    assert "DROP" not in texts[0]
    assert statements.parse("sqlite", "noun/verb", texts[0]).parameters >= {"tags", "correlation_id", "unique_key"}
