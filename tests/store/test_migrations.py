"""Migrations: each is applied once, whole, in order, by whoever comes first; what they make is written down."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
from schema_structure import checks, columns, structure
from virtual_store import VirtualStore, query, schema_of

from durex_core.errors import DatabaseError, MigrationError, SchemaMissing
from durex_core.model import Retention, State
from durex_core.rules.outcomes import Returned
from durex_core.store import migrate
from durex_core.store.database import Database, open_database
from durex_core.store.migrate import Migration

AT_ONCE = 4
WRITE = "DUREX_WRITE_SCHEMA"


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    """A database without a schema, of each kind in turn."""
    database = open_database(empty_url)
    yield database
    database.close()


def names(wanted: list[Migration]) -> list[str]:
    return [f"{migration.version:04}_{migration.name}" for migration in wanted]


def future(database: Database, script: str, *, version: int = 9001, name: str = "future") -> list[Migration]:
    """Return the migrations of a later release, whose last one is this script."""
    return [*migrate.migrations(database.dialect), Migration(version, name, script)]


def test_all_migrations_are_applied_to_an_empty_database(empty: Database):
    assert empty.migrate() == names(migrate.migrations(empty.dialect))

    assert empty.run("schema/version") == [{"version": migrate.migrations(empty.dialect)[-1].version}]
    store = VirtualStore(empty)
    assert store.settle(store.start(), Returned())


def test_a_second_time_nothing_is_applied(empty: Database):
    empty.migrate()
    with empty.autocommit() as connection:
        before = structure(connection)

    assert empty.migrate() == []

    with empty.autocommit() as connection:
        assert structure(connection) == before


def test_before_its_first_migration_a_database_says_which_command_to_run(empty: Database):
    with pytest.raises(SchemaMissing, match="run `durex migrate`"):
        VirtualStore(empty).add()
    with pytest.raises(SchemaMissing, match="run `durex migrate`"):
        empty.run("schema/version")


def test_threads_that_migrate_at_once_apply_each_migration_once(empty_url: str):
    start = threading.Barrier(AT_ONCE)

    def migrate_now(_: int) -> list[str]:
        database = open_database(empty_url)
        start.wait(30)
        try:
            return database.migrate()
        finally:
            database.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        applied = [name for done in pool.map(migrate_now, range(AT_ONCE)) for name in done]

    assert applied == names(migrate.migrations("postgres"))


@pytest.mark.slow
def test_processes_that_migrate_at_once_apply_each_migration_once(empty_url: str):
    code = (
        "import sys; from durex_core.store.database import open_database;"
        "print('ready', flush=True); sys.stdin.readline(); print(open_database(sys.argv[1]).migrate())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(AT_ONCE)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in processes)

    assert {process.returncode for process in processes} == {0}
    assert answers == sorted(["[]"] * (AT_ONCE - 1) + [str(names(migrate.migrations("postgres")))])


def test_an_edited_migration_is_refused(empty: Database):
    empty.migrate()
    first, *rest = migrate.migrations(empty.dialect)
    edited = Migration(first.version, first.name, f"{first.script}\nCREATE TABLE more (id integer);\n")

    with pytest.raises(MigrationError, match="migration 0001_initial was changed after it had been applied; restore"):
        empty.migrate([edited, *rest])


def test_a_schema_newer_than_this_code_is_accepted_and_served(empty: Database):
    empty.migrate(future(empty, f"CREATE TABLE {schema_of(empty)}later (id integer);\n"))

    assert empty.migrate() == []

    assert empty.run("schema/version") == [{"version": 9001}]
    store = VirtualStore(empty)
    assert store.settle(store.start(), Returned())


def test_only_what_is_missing_is_applied_in_order(empty: Database):
    table = f"{schema_of(empty)}later"
    release_1 = future(empty, f"CREATE TABLE {table} (id integer);\n")
    release_2 = [*release_1, Migration(9002, "note", f"ALTER TABLE {table} ADD COLUMN note text;\n")]
    empty.migrate()

    assert [empty.migrate(release_1), empty.migrate(release_2)] == [["9001_future"], ["9002_note"]]


@pytest.mark.parametrize("from_nothing", [True, False], ids=["from nothing", "from the present"])
def test_a_migration_that_fails_rolls_back_whole_with_all_that_came_with_it(empty: Database, from_nothing: bool):
    prefix = schema_of(empty)
    good = future(empty, f"CREATE TABLE {prefix}good (id integer);\n")
    script = f"CREATE TABLE {prefix}half_done (id integer);\nINSERT INTO {prefix}nowhere VALUES (1);\n"
    bad = [*good, Migration(9002, "bad", script)]
    if not from_nothing:
        empty.migrate()
    before = whole_structure(empty)

    with pytest.raises(DatabaseError, match="nowhere"):
        empty.migrate(bad)

    assert whole_structure(empty) == before
    assert empty.migrate(good)[-1] == "9001_future"


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
def test_migrations_are_numbered_from_one_without_a_gap(dialect: str):
    folder = files("durex_core") / "migrations" / dialect
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))

    assert [int(name[:4]) for name in found] == list(range(1, len(found) + 1))
    assert found == [f"{name}.sql" for name in names(migrate.migrations(dialect))]  # type: ignore[arg-type]


def test_both_dialects_have_the_same_migrations():
    assert names(migrate.migrations("postgres")) == names(migrate.migrations("sqlite"))


def test_the_structure_is_the_one_that_is_written_down(empty: Database):
    """Fails after each new migration, so that its effect is read before it is merged."""
    written = Path(__file__).parent / "schema" / f"{empty.dialect}.txt"
    empty.migrate()
    made = "\n".join(whole_structure(empty)) + "\n"
    if os.environ.get(WRITE):
        written.write_text(made)

    assert made == written.read_text(), (
        f"the migrations make another structure than {written}; if that is meant, write it down with"
        f" `{WRITE}=1 .venv/bin/pytest {__file__}` and look at the difference"
    )


def test_both_dialects_have_the_same_tables_with_the_same_columns(empty_postgres_url: str, empty_sqlite_url: str):
    found = []
    for url in (empty_postgres_url, empty_sqlite_url):
        database = open_database(url)
        database.migrate()
        with database.autocommit() as connection:
            found.append(columns(connection))
        database.close()

    assert found[0] == found[1]


def test_live_and_finished_commands_have_the_same_columns_but_for_lease_and_ending(empty: Database):
    empty.migrate()
    with empty.autocommit() as connection:
        found = columns(connection)

    live, finished, both = (set(found[table]) for table in ("commands", "finished_commands", "all_commands"))
    assert live - finished == {"lease_expires_at", "claimed_ahead", "ending", "compensations"}
    assert finished - live == {"finished_at", "retention", "result", "error", "recovery"}
    assert both == (live | finished) - {"retention", "claimed_ahead"}


def test_the_states_of_each_table_are_those_of_the_model(empty: Database):
    empty.migrate()

    assert listed(empty, "commands", "state") == {state.value for state in State if not state.is_terminal}
    assert listed(empty, "finished_commands", "state") == {state.value for state in State if state.is_terminal}
    assert listed(empty, "finished_commands", "retention") == {retention.value for retention in Retention}


def test_every_state_of_a_table_can_be_stored_in_it_and_no_other(empty: Database):
    empty.migrate()
    store = VirtualStore(empty)
    store.add()

    for state in set(State) - {State.STARTED}:
        text = f"UPDATE {schema_of(empty)}commands SET state = '{state}'"
        with empty.autocommit() as connection:
            if state.is_terminal:
                with pytest.raises(Exception, match=r"(?i)check constraint"):
                    query(connection, text)
            else:
                query(connection, text)


def whole_structure(database: Database) -> list[str]:
    with database.autocommit() as connection:
        if connection.dialect == "postgres" and not query(
            connection, "SELECT 1 FROM pg_namespace WHERE nspname = 'durex'"
        ):
            return []
        return structure(connection)


def listed(database: Database, table: str, column: str) -> set[str]:
    """Return the values that the longest CHECK of a column lists."""
    with database.autocommit() as connection:
        lists = [set(re.findall(r"'(\w+)'", rule)) for rule in checks(connection, table) if re.search(column, rule)]
    return max(lists, key=len)
