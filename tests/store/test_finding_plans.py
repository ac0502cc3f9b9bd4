"""The plans of listings: by index, over about as many rows as a page has, whatever is stored.

Checked with the statistics of a fresh database (there are none) and after ANALYZE, for the values at hand and for
whatever values may come, over 20,000 live commands, and over 20,000 completed ones and 10,000 dead letters in two
partitions each; beside 200,000 that wait and a million that completed, without anything to find them by. SQLite, whose
plans do not depend on it, has fewer, and so has the fresh database.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from shutil import copy
from typing import Any, cast
from uuid import UUID

import pytest
from databases import fresh_postgres
from factories import START
from plans import MODES, Mode, Plan, explain
from virtual_store import query

from durex_core.queries import make_query
from durex_core.store import cursors, finding, statements
from durex_core.store.cursors import Place
from durex_core.store.database import Connection, Maker, Row, as_dict, open_database
from durex_core.store.rows import document, to_microseconds
from durex_core.store.sqlite_values import to_sqlite

LIMIT = 10
# A page, one more to see whether there is another, of each table and partition that is read; and those of equal keys.
MOST_ROWS = 100
LIVE, COMPLETED, DEAD = 20_000, 20_000, 10_000
WAITING_BESIDE, COMPLETED_BESIDE = 200_000, 1_000_000
FAMILY = 20  # commands with the same parent, and the same correlation id
PARENT = UUID("00000009-0000-7000-8000-000000000007")

DATED = [
    "finished_completed_default",
    "finished_completed_dated",
    "finished_attention_default",
    "finished_attention_dated",
]
TABLES = {"commands", *DATED}

LISTINGS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "all": ({}, {"commands_pkey", "finished_completed_default_id_run_idx", "finished_attention_dated_id_run_idx"}),
    "all ascending": ({"descending": False}, {"commands_pkey", "finished_completed_dated_id_run_idx"}),
    "live": ({"state": "pending"}, {"commands_pkey"}),
    "attention": ({"state": "dead_letter"}, {"finished_attention_default_id_run_idx"}),
    "correlation": (
        {"correlation_id": "c 7"},
        {"commands_correlation", "finished_completed_default_correlation_id_id_idx"},
    ),
    "parent": ({"parent_id": PARENT}, {"commands_parent", "finished_completed_dated_parent_id_idx"}),
    "tag": ({"tag": "t 7", "order_by": "ready_at"}, {"commands_tags", "finished_attention_dated_tags_idx"}),
}
# Without statistics Postgres thinks that a state is rare, and gathers what is in it. Without the values, too, it knows
# nothing at all.
KNOWN_TO_STATISTICS = {"live", "attention"}
ON_SQLITE = {
    "all": {"sqlite_autoindex_commands_1", "sqlite_autoindex_finished_commands_1"},
    "all ascending": {"sqlite_autoindex_commands_1", "sqlite_autoindex_finished_commands_1"},
    "live": {"sqlite_autoindex_commands_1"},
    "attention": {"sqlite_autoindex_finished_commands_1"},
    "correlation": {"commands_correlation", "finished_commands_correlation"},
    "parent": {"commands_parent", "finished_commands_parent"},
    "attention by time": {"finished_commands_age"},
}
BY_TIME = {"state": "dead_letter", "order_by": "finished_at"}


@pytest.fixture(scope="module", params=["fresh", "analyzed"])
def is_analyzed(request: pytest.FixtureRequest) -> bool:
    """Whether the database knows its own statistics."""
    return bool(request.param == "analyzed")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    """For which values a plan is made."""
    return cast("Mode", request.param)


@pytest.fixture(scope="module")
def filled(postgres_server: str, postgres_template: str) -> Iterator[Connection]:
    """A full Postgres."""
    with (
        fresh_postgres(postgres_server, postgres_template) as url,
        closing(open_database(url)) as database,
        database.autocommit() as connection,
    ):
        for retention in ("completed", "attention"):
            query(
                connection,
                f"CREATE TABLE durex.finished_{retention}_dated PARTITION OF durex.finished_{retention}"
                " FOR VALUES FROM ('2026-02-01Z') TO ('2026-03-01Z')",
            )
        for table in TABLES:  # nobody else is to analyze it meanwhile
            query(connection, f"ALTER TABLE durex.{table} SET (autovacuum_enabled = off)")
        fill_postgres(connection)
        yield connection


@pytest.fixture(scope="module")
def postgres(filled: Connection, is_analyzed: bool) -> Connection:
    """A full Postgres, first without statistics; then with them, and with all that stands beside."""
    if is_analyzed:
        fill_beside(filled)
        query(filled, "ANALYZE")
    return filled


@pytest.fixture(scope="module")
def sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, is_analyzed: bool) -> Iterator[Connection]:
    """A full SQLite file."""
    path = copy(sqlite_template, tmp_path_factory.mktemp("plans") / "full.db")
    with closing(open_database(f"sqlite:///{path}")) as database:
        with database.transaction() as connection:
            fill_sqlite(connection)
            if is_analyzed:
                query(connection, "ANALYZE")
        with database.autocommit() as connection:
            yield connection


@pytest.mark.parametrize("listing", LISTINGS)
def test_postgres_reads_a_page_by_index(postgres: Connection, mode: Mode, listing: str, is_analyzed: bool):
    options, indexes = LISTINGS[listing]
    if not is_analyzed and (listing in KNOWN_TO_STATISTICS or mode == "generic"):
        return

    plan = explain_postgres(postgres, mode, **options)

    assert plan.scanned_tables & TABLES == set()
    assert plan.indexes >= indexes
    assert plan.most_rows <= MOST_ROWS


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("listing", ["all", "correlation"])
def test_postgres_reads_a_later_page_from_where_the_last_one_ended(
    postgres: Connection, mode: Mode, monkeypatch: pytest.MonkeyPatch, listing: str, descending: bool
):
    options, _ = LISTINGS[listing]
    monkeypatch.setattr(cursors, "decode", lambda _: Place(UUID("00000001-0000-7000-8000-000000010000"), 1))

    plan = explain_postgres(postgres, mode, **options | {"descending": descending})

    assert plan.scanned_tables & TABLES == set()
    assert plan.most_rows <= MOST_ROWS


@pytest.mark.parametrize(
    ("options", "partitions"),
    [
        ({"state": "dead_letter"}, {"finished_attention_default", "finished_attention_dated"}),
        ({"state": "completed"}, {"finished_completed_default", "finished_completed_dated"}),
        ({"states": ["completed", "failed"]}, set(DATED)),
        ({"state": "pending"}, {"commands"}),
        # What was created after the days of a partition did not finish within them, give or take a day.
        ({"created_after": START + timedelta(days=2)}, {"commands", *DATED[::2]}),
        ({"created_after": START}, TABLES),
    ],
    ids=["attention", "completed", "finished", "live", "lately created", "created before"],
)
def test_postgres_reads_only_the_tables_that_may_hold_something(
    postgres: Connection, mode: Mode, options: dict[str, Any], partitions: set[str]
):
    assert explain_postgres(postgres, mode, **options).tables & TABLES == partitions


def test_a_batch_to_cancel_is_read_by_index(postgres: Connection, mode: Mode, is_analyzed: bool):
    if not is_analyzed and mode == "generic":
        return

    plan = explain_postgres(postgres, mode, locking=True, tag="t 7")

    assert plan.scanned_tables & TABLES == set()
    assert (plan.tables, plan.most_rows <= MOST_ROWS) == ({"commands"}, True)


@pytest.mark.parametrize("listing", ON_SQLITE)
def test_sqlite_reads_a_page_by_index_and_sorts_no_more_than_the_page(sqlite: Connection, listing: str):
    options = BY_TIME if listing == "attention by time" else LISTINGS[listing][0]

    plan = explain_sqlite(sqlite, **options)

    for index in ON_SQLITE[listing]:
        assert any(f"INDEX {index}" in line for line in plan), (index, plan)
    assert not [line for line in plan if re.match(r"SCAN (finished_)?commands$", line)]


class Explaining:
    """A connection that keeps the queries that are composed for it, and finds nothing."""

    def __init__(self, connection: Connection) -> None:
        self.dialect = connection.dialect
        self.composed: list[tuple[str, dict[str, Any]]] = []

    def select(self, text: str, *, make: Maker = as_dict, **parameters: Any) -> list[Row]:  # noqa: ARG002  no rows
        """Keep a query."""
        self.composed.append((text, parameters))
        return []


def composed(connection: Connection, *, locking: bool = False, **options: Any) -> tuple[str, dict[str, Any]]:
    explaining = Explaining(connection)
    if locking:
        finding.lock_live(explaining, make_query(options), after=None, limit=LIMIT)  # type: ignore[arg-type]
    else:
        finding.find(explaining, make_query(options | {"limit": LIMIT}))  # type: ignore[arg-type]
    ((text, parameters),) = explaining.composed
    return text, parameters


def explain_postgres(connection: Connection, mode: Mode, **options: Any) -> Plan:
    text, parameters = composed(connection, **options)
    (part,) = statements.parse("postgres", "noun/verb", text).parts
    bound = {name: document(value) if isinstance(value, list | dict) else value for name, value in parameters.items()}
    return explain(connection, part, bound, mode)


def explain_sqlite(connection: Connection, **options: Any) -> list[str]:
    text, parameters = composed(connection, **options)
    (part,) = statements.parse("sqlite", "noun/verb", text).parts
    bound = {name: to_sqlite(value) for name, value in parameters.items()}
    return [line[3] for line in query(connection, f"EXPLAIN QUERY PLAN {part}", bound)]  # type: ignore[arg-type]


FACTS = "name, queue, priority, attempt, retries, run, lease_number, dead_letter"
VALUES = "'name', 'q', 0, 1, 3, 1, 1, true"


def fill_postgres(connection: Connection) -> None:
    made = f"""
        ('{{kind:08}}-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, {VALUES}, %s + i * interval '1 ms', %s,
        ('00000009-0000-7000-8000-' || lpad((i / {FAMILY})::text, 12, '0'))::uuid, 'c ' || i / {FAMILY},
        jsonb_build_array('t ' || i / {FAMILY}), '{{state}}'
    """
    columns = f"id, {FACTS}, ready_at, created_at, parent_id, correlation_id, tags, state"
    query(
        connection,
        f"INSERT INTO durex.commands ({columns})"
        f" SELECT {made.format(kind=0, state='pending')} FROM generate_series(1, {LIVE}) AS i",
        [START, START],
    )
    for kind, state, retention, number in (
        (1, "completed", "completed", COMPLETED),
        (2, "dead_letter", "attention", DEAD),
    ):
        query(
            connection,
            f"INSERT INTO durex.finished_commands ({columns}, retention, finished_at, history)"
            f" SELECT {made.format(kind=kind, state=state)}, '{retention}', %s - i % 2 * interval '2 days', '[]'"
            f" FROM generate_series(1, {number}) AS i".replace("i % 2", "i %% 2"),
            [START, START, START],
        )


def fill_beside(connection: Connection) -> None:
    beside = f"{VALUES}, %s - i * interval '1 ms', %s, NULL, NULL, '[]'::jsonb"
    columns = f"id, {FACTS}, ready_at, created_at, parent_id, correlation_id, tags, state"
    query(
        connection,
        f"INSERT INTO durex.commands ({columns})"
        f" SELECT ('00000000-0000-6000-8000-' || lpad(i::text, 12, '0'))::uuid, {beside}, 'waiting'"
        f" FROM generate_series(1, {WAITING_BESIDE}) AS i",
        [START, START],
    )
    query(
        connection,
        f"INSERT INTO durex.finished_commands ({columns}, retention, finished_at, history)"
        f" SELECT ('00000004-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, {beside}, 'completed', 'completed', %s,"
        f" '[]' FROM generate_series(1, {COMPLETED_BESIDE}) AS i",
        [START, START, START],
    )


def fill_sqlite(connection: Connection) -> None:
    made = f"""
        printf('{{kind:08}}-0000-7000-8000-%012d', value), {VALUES}, ? + value * 1000, ?,
        printf('00000009-0000-7000-8000-%012d', value / {FAMILY}), 'c ' || (value / {FAMILY}),
        json_array('t ' || (value / {FAMILY})), '{{state}}'
    """
    columns = f"id, {FACTS}, ready_at, created_at, parent_id, correlation_id, tags, state"
    series = "WITH RECURSIVE series (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM series LIMIT {number})"
    start = to_microseconds(START)
    query(
        connection,
        f"{series.format(number=LIVE)} INSERT INTO commands ({columns})"
        f" SELECT {made.format(kind=0, state='pending')} FROM series",
        [start, start],
    )
    for kind, state, retention, number in (
        (1, "completed", "completed", COMPLETED),
        (2, "dead_letter", "attention", DEAD),
    ):
        query(
            connection,
            f"{series.format(number=number)} INSERT INTO finished_commands"
            f" ({columns}, retention, finished_at, history)"
            f" SELECT {made.format(kind=kind, state=state)}, '{retention}', ?, '[]' FROM series",
            [start, start, start],
        )
