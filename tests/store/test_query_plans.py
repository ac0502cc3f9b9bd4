"""The plans of the statements that run all the time: by index, over as many rows as they return, whatever is stored.

Checked with the statistics of a fresh database (there are none) and after ANALYZE, for the values at hand and for
whatever values may come, over 20,000 pending commands, 3,000 more whose time is over, 100,000 future ones, 100,000 that
wait for others, 1,000 that repeat, 103,000 leases of which 3,000 ran out, and a million finished ones. SQLite, whose
plans do not depend on it, has fewer.
"""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from databases import fresh_postgres
from factories import LEASE, START
from plans import MODES, Mode, Plan, explain
from virtual_store import query

from durex_core.store import statements
from durex_core.store.database import Connection, open_database
from durex_core.store.rows import to_microseconds

LIMIT = 10
QUEUES = '["q1", "q2"]'
# What a statement may touch: its limit in each scan of each queue, and no more of the backlog than that.
MOST_ROWS = 100
# What a bitmap counts of the claims that were tried out and taken back before.
ROLLED_BACK = 100

# kind: (number, state, moment it is ready, end of its lease, end of its time), in seconds from now; the priority rises
# with the kind, so that the urgent ones stand before the others in the order of a claim.
COMMANDS = {
    "pending": (20_000, "pending", -3600, None, None),
    "future": (100_000, "scheduled", 3600, None, 7200),
    "expired": (3_000, "started", -3600, -60, None),
    "alive": (100_000, "started", -3600, 3600, None),
    "waiting": (100_000, "waiting", -3600, None, 3600),
    "repeating": (1_000, "repeating", 3600, None, None),
    "overdue": (3_000, "pending", -3600, None, -60),
}
JOINED = 5_000
RUNS = 2_000
FINISHED = 1_000_000
MOST_ON_SQLITE = 5_000
KEYS = 10_000

INDEXES = {
    "commands/claim": {"commands_pending", "commands_scheduled", "commands_leases", "commands_expiring"},
    "commands/dispatch": {"commands_scheduled"},
    "commands/due_by_queue": {"commands_pending", "commands_scheduled", "commands_expiring"},
    "commands/find_by_unique_key": {"commands_unique_key"},
    "commands/get": {"commands_pkey", "finished_completed_default_id_run_idx"},
    "commands/known": {"commands_pkey", "finished_completed_default_id_run_idx"},
    "commands/next_due": {"commands_scheduled", "commands_leases", "commands_expiring"},
    "commands/rescue": {"commands_leases"},
    "finished/prune_attention": {"finished_attention_default_age"},
    "finished/prune_completed": {"finished_completed_default_age"},
    "keys/prune": {"keys_expiry"},
}
SQLITE_NAMES = {
    "commands_pkey": "sqlite_autoindex_commands_1",
    "finished_attention_default_age": "finished_commands_age",
    "finished_completed_default_age": "finished_commands_age",
    "finished_completed_default_id_run_idx": "sqlite_autoindex_finished_commands_1",
}
FULL_TABLES = {"commands", "finished_completed_default", "finished_attention_default", "keys", "joined"}
SETTLING = [
    "commands/cancel",
    "commands/finish",
    "commands/heartbeat",
    "commands/note",
    "commands/put_back",
    "commands/repeat",
    "joins/arrive",
    "joins/count",
    "joins/gather",
]
# A lease's holders, and those that wait; each has a row for itself in what a statement is handed.
HANDED = 500


def held(number: int) -> str:
    return f"00000003-0000-7000-8000-{number:012}"


def waiting(number: int) -> str:
    return f"00000004-0000-7000-8000-{number:012}"


ROW: dict[str, Any] = {
    "id": held(1),
    "lease_number": 1,
    "state": "completed",
    "delay_seconds": 0,
    "given_back": 0,
    "outcome": "failed",
    "has_payload": False,
    "command_id": waiting(1),
    "position": 1,
    "child_id": held(1),
    "name": "child",
    "arrived": 1,
}
# What Postgres is handed column by column; the others are all NULL.
ENDED = ["id", "lease_number", "state"]
STATES = {"commands/put_back": "pending", "commands/repeat": "repeating"}
# A handful of rows that a statement has chosen already.
SORTS = {
    "commands/claim": ["GROUP BY", "ORDER BY"],
    "commands/due_by_queue": ["GROUP BY"],
    "joins/gather": ["GROUP BY"],
}

PARAMETERS: dict[str, Any] = {
    "id": "00000000-0000-7000-8000-000000000001",
    "keep_seconds": 10.0,
    "lease_seconds": 30.0,
    "limit": LIMIT,
    "now": START,
    "queues": QUEUES,
    "rows": json.dumps([ROW]),
    "ids": json.dumps([waiting(1)]),
    "error": "null",
    "unique_keys": '["unique 1", "unique 2", "unique 3"]',
    "worker": "worker",
    "at_once": 1,
}


@pytest.fixture(scope="module", params=["fresh", "analyzed"])
def is_analyzed(request: pytest.FixtureRequest) -> bool:
    """Whether the database knows its own statistics."""
    return bool(request.param == "analyzed")


@pytest.fixture(scope="module")
def filled(postgres_server: str, postgres_template: str) -> Iterator[Connection]:
    """A full Postgres."""
    with (
        fresh_postgres(postgres_server, postgres_template) as url,
        closing(open_database(url)) as database,
        database.autocommit() as connection,
    ):
        # Nobody else is to analyze it meanwhile.
        for table in FULL_TABLES:
            query(connection, f"ALTER TABLE durex.{table} SET (autovacuum_enabled = off)")
        fill_postgres(connection)
        yield connection


@pytest.fixture(scope="module")
def postgres(filled: Connection, is_analyzed: bool) -> Connection:
    """A full Postgres, first without statistics and then with them."""
    if is_analyzed:
        query(filled, "VACUUM (ANALYZE) durex.commands")
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


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INDEXES)
def test_postgres_reads_by_index_and_no_more_than_it_needs(
    postgres: Connection, name: str, mode: Mode, is_analyzed: bool
):
    plan = explain_postgres(postgres, name, PARAMETERS, mode)

    assert plan.scanned_tables & FULL_TABLES == set()
    assert plan.indexes >= INDEXES[name]
    # Without statistics Postgres may gather all expired leases and sort them, but never the waiting commands.
    assert plan.most_rows <= (MOST_ROWS if is_analyzed else COMMANDS["expired"][0] + ROLLED_BACK)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INDEXES)
def test_postgres_keeps_to_that_when_there_is_nothing_to_find(postgres: Connection, name: str, mode: Mode):
    nothing = {"queues": '["nobody"]', "unique_keys": '["nobody"]', "id": "ffffffff-0000-7000-8000-000000000001"}

    plan = explain_postgres(postgres, name, PARAMETERS | nothing, mode)

    assert plan.scanned_tables & FULL_TABLES == set()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [1, HANDED])
@pytest.mark.parametrize("name", SETTLING)
def test_postgres_settles_without_reading_the_backlog(postgres: Connection, name: str, number: int, mode: Mode):
    plan = explain_postgres(postgres, name, PARAMETERS | handed(name, number), mode)

    assert plan.scanned_tables & FULL_TABLES == set()
    # Those that were handed to statements before stand there, dead.
    assert plan.most_rows <= number + 3 * HANDED


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["commands/finish", "commands/heartbeat", "commands/note", "commands/put_back"])
def test_postgres_settles_by_key_where_it_believes_that_nothing_was_started(postgres_url: str, name: str, mode: Mode):
    """The statistics are from before the drain, and the table is neither large nor small."""
    with closing(open_database(postgres_url)) as database, database.autocommit() as connection:
        query(connection, "ALTER TABLE durex.commands SET (autovacuum_enabled = off)")
        query(
            connection,
            """
            INSERT INTO durex.commands (id, name, queue, state, priority, ready_at, created_at, retries, dead_letter)
            SELECT ('00000003-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'name', 'q', 'pending', 0, %s, %s, 3,
                   true
            FROM generate_series(1, 5000) AS i
            """,
            [START, START],
        )
        query(connection, "ANALYZE durex.commands")
        query(
            connection,
            "UPDATE durex.commands SET state = 'started', lease_number = 1, lease_expires_at = %s",
            [START + LEASE],
        )

        plan = explain_postgres(connection, name, PARAMETERS | handed(name, HANDED), mode)

    assert (plan.scanned_tables & FULL_TABLES, plan.indexes & {"commands_leases"}) == (set(), set())
    assert plan.most_rows <= HANDED


@pytest.mark.parametrize("mode", MODES)
def test_postgres_claims_a_thousand_by_key(postgres: Connection, mode: Mode):
    many = 1_000

    plan = explain_postgres(postgres, "commands/claim", PARAMETERS | {"queues": '["q2"]', "limit": many}, mode)

    assert plan.scanned_tables & FULL_TABLES == set()
    assert "commands_pkey" in plan.indexes
    assert plan.most_rows <= 3 * many
    # The look at what is left does not go over what was taken.
    assert plan.rows_of["commands_pending"] <= many + 1


@pytest.mark.parametrize("mode", MODES)
def test_postgres_reads_nothing_where_nothing_expires(postgres: Connection, mode: Mode):
    """The fourth scan of a claim costs an index look-up, whatever waits with a deadline in the future."""
    plan = explain_postgres(postgres, "commands/claim", PARAMETERS | {"queues": '["q2"]'}, mode)

    # One of each tells when to look again.
    assert plan.rows_of["commands_expiring"] == plan.rows_of["commands_scheduled"] == 1
    assert plan.rows_of["commands_pending"] <= LIMIT + 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("runs", [0, RUNS])
def test_postgres_finds_the_newest_run_without_reading_the_others(postgres: Connection, runs: int, mode: Mode):
    repeated = "f0000000-0000-7000-8000-000000000001"

    plan = explain_postgres(postgres, "commands/get", PARAMETERS | ({"id": repeated} if runs else {}), mode)

    assert plan.most_rows <= MOST_ROWS


@pytest.mark.parametrize("mode", MODES)
def test_postgres_passes_over_nothing_that_is_overdue_to_find_what_is_ready(postgres: Connection, mode: Mode):
    """A backlog whose time is over stands before everything else, and is taken from there as any other work."""
    plan = explain_postgres(postgres, "commands/claim", PARAMETERS, mode)

    # One more in each queue says that there is more.
    assert plan.rows_of["commands_pending"] <= 2 * (LIMIT + 1)
    # A look at what expires later passes over what was taken.
    assert plan.rows_of["commands_expiring"] <= 3 * LIMIT + 2
    assert plan.rows_of["commands_scheduled"] == 2


FUTURE = 100_000


def test_postgres_claims_and_looks_ahead_by_index_however_much_is_due_later(postgres: Connection):
    """As many more as nobody has counted yet; the last of these tests, since what is taken back leaves its traces."""
    with postgres.raw.transaction(force_rollback=True):  # type: ignore[attr-defined]
        query(
            postgres,
            f"""
            INSERT INTO durex.commands (id, name, queue, state, priority, ready_at, created_at, retries, dead_letter)
            SELECT ('{len(COMMANDS):08}-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'name', 'q' || i %% 4,
                   'scheduled', 0, %s + make_interval(secs => 3600 + i), %s, 3, true
            FROM generate_series(1, {FUTURE}) AS i
            """,
            [START, START],
        )

        busy = explain_postgres(postgres, "commands/claim", PARAMETERS)
        idle = explain_postgres(postgres, "commands/claim", PARAMETERS | {"queues": '["nobody"]'})

    assert (busy.scanned_tables | idle.scanned_tables) & FULL_TABLES == set()
    assert busy.indexes >= INDEXES["commands/claim"]
    assert (busy.rows_of["commands_scheduled"], idle.rows_of["commands_scheduled"]) == (2, 0)


@pytest.mark.parametrize("name", [*INDEXES, *SETTLING])
def test_sqlite_reads_by_index(sqlite: Connection, name: str):
    plan = explain_sqlite(sqlite, name)

    # Only what a statement was handed, and what it has gathered itself, is read from end to end.
    allowed = {"json_each", "lane", "ended", "held", "candidate", "all_commands", "grouped", "row", "noted", "value"}
    scanned = {match[1] for line in plan for match in [re.match(r"SCAN (\S+)", line)] if match}
    assert {table for table in scanned if not table.startswith("(subquery")} <= allowed
    for index in INDEXES.get(name, ()):
        assert any(f"INDEX {SQLITE_NAMES.get(index, index)}" in line for line in plan), (index, plan)


@pytest.mark.parametrize("name", [*INDEXES, *SETTLING])
def test_sqlite_sorts_nothing_but_what_it_has_chosen(sqlite: Connection, name: str):
    plan = explain_sqlite(sqlite, name)

    sorts = [line for line in plan if "TEMP B-TREE" in line]
    assert sorts == [f"USE TEMP B-TREE FOR {clause}" for clause in SORTS.get(name, [])]


def handed(name: str, number: int) -> dict[str, Any]:
    """Return as many different rows as a statement is to be handed."""
    rows = [
        ROW | {"state": STATES.get(name, "completed"), "id": held(i), "child_id": held(i), "command_id": waiting(i)}
        for i in range(1, number + 1)
    ]
    columns = {f"rows.{column}": f"{{{','.join(str(row[column]) for row in rows)}}}" for column in ENDED}
    return {"rows": json.dumps(rows), "ids": json.dumps([row["command_id"] for row in rows]), **columns}


def explain_postgres(connection: Connection, name: str, parameters: dict[str, Any], mode: Mode = "custom") -> Plan:
    """Run a statement, measure it, and take it back."""
    (text,) = statements.load("postgres", name).parts
    return explain(connection, text, parameters, mode)


def explain_sqlite(connection: Connection, name: str) -> list[str]:
    """Return the lines of the plans of a statement's parts."""
    given = PARAMETERS | {"now": to_microseconds(START)}
    return [
        line[3]
        for part in statements.load("sqlite", name).parts
        for line in connection.raw.execute(f"EXPLAIN QUERY PLAN {part}", given)  # type: ignore[attr-defined]
    ]


def fill_postgres(connection: Connection) -> None:
    for position, (number, state, ready, lease, expiry) in enumerate(COMMANDS.values()):
        query(
            connection,
            f"""
            INSERT INTO durex.commands (
                id, name, queue, state, priority, ready_at, created_at, retries, dead_letter, lease_number,
                lease_expires_at, expires_at, unique_key, awaits
            )
            SELECT ('{position:08}-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'name',
                   CASE WHEN {position} = 6 THEN 'q1' ELSE 'q' || i %% 4 END, '{state}',
                   {position} * 10 + i %% 7, %s + make_interval(secs => {ready} + i / 1000.0), %s, 3, true, 1,
                   %s + make_interval(secs => %s::integer + i / 1000.0),
                   %s + make_interval(secs => %s::integer + i / 1000.0),
                   '{position or "unique"} ' || i, {int(state == "waiting")}
            FROM generate_series(1, {number}) AS i
            """,
            [START, START, START, lease, START, expiry],
        )
    query(
        connection,
        f"""
        INSERT INTO durex.joined
        SELECT ('00000004-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 0, gen_random_uuid(), 'name', 'completed'
        FROM generate_series(1, {JOINED}) AS i
        """,
    )
    for ending, retention, number in (
        ("completed", "completed", FINISHED * 9 // 10),
        ("dead_letter", "attention", FINISHED // 10),
    ):
        query(
            connection,
            f"""
            INSERT INTO durex.finished_commands (
                id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, finished_at,
                created_at, dead_letter, tags, history, retention
            )
            SELECT ('{len(ending):08}-0000-7000-9000-' || lpad(i::text, 12, '0'))::uuid, 'name', 'q1', '{ending}', 0,
                   %s, 1, 0, 1, 1, %s - make_interval(secs => i), %s, true, '[]', '[]', '{retention}'
            FROM generate_series(1, {number}) AS i
            """,
            [START, START, START],
        )
    query(
        connection,
        f"""
        INSERT INTO durex.finished_commands (
            id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, finished_at, created_at,
            dead_letter, tags, history, retention
        )
        SELECT 'f0000000-0000-7000-8000-000000000001', 'name', 'q1', 'completed', 0, %s, 1, 0, i, i, %s, %s, true,
               '[]', '[]', 'completed'
        FROM generate_series(1, {RUNS}) AS i
        """,
        [START, START, START],
    )
    query(
        connection,
        f"""
        INSERT INTO durex.keys
        SELECT 'idempotency:name', 'key ' || i, gen_random_uuid(), %s + make_interval(secs => i - {KEYS // 2})
        FROM generate_series(1, {KEYS}) AS i
        """,
        [START],
    )


def fill_sqlite(connection: Connection) -> None:
    now = to_microseconds(START)
    series = "WITH RECURSIVE series (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < {})"
    for position, (number, state, ready, lease, expiry) in enumerate(COMMANDS.values()):
        lease_end, time_end = (
            "NULL" if seconds is None else f"{now} + {seconds} * 1000000 + i * 1000" for seconds in (lease, expiry)
        )
        query(
            connection,
            f"""
            INSERT INTO commands (
                id, name, queue, state, priority, ready_at, created_at, retries, dead_letter, lease_number,
                lease_expires_at, expires_at, unique_key, payload, backoff, awaits
            )
            {series.format(min(number, MOST_ON_SQLITE))}
            SELECT printf('%08d-0000-7000-8000-%012d', {position}, i), 'name',
                   iif({position} = 6, 'q1', 'q' || (i % 4)), '{state}',
                   {position} * 10 + i % 7, {now} + {ready} * 1000000 + i * 1000, {now}, 3, 1, 1, {lease_end},
                   {time_end}, '{position or "unique"} ' || i, 'null', 'null', {int(state == "waiting")}
            FROM series
            """,
        )
    query(
        connection,
        f"""
        INSERT INTO joined
        {series.format(JOINED)}
        SELECT printf('00000004-0000-7000-8000-%012d', i), 0, printf('e%07d-0000-7000-8000-%012d', 0, i), 'name',
               'completed', NULL, NULL
        FROM series
        """,
    )
    query(
        connection,
        f"""
        INSERT INTO finished_commands (
            id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, finished_at, created_at,
            dead_letter, tags, history, retention, payload, backoff, result, error
        )
        {series.format(MOST_ON_SQLITE)}
        SELECT printf('f%07d-0000-7000-8000-%012d', 1, i), 'name', 'q1', iif(i % 2, 'completed', 'dead_letter'), 0,
               {now}, 1, 0, 1, 1, {now} - i * 1000000, {now}, 1, '[]', '[]', iif(i % 2, 'completed', 'attention'),
               'null', 'null', 'null', 'null'
        FROM series
        """,
    )
    query(
        connection,
        f"""
        INSERT INTO keys
        {series.format(KEYS)}
        SELECT 'idempotency:name', 'key ' || i, printf('f%07d-0000-7000-8000-%012d', 2, i),
               {now} + (i - {KEYS // 2}) * 1000000
        FROM series
        """,
    )
