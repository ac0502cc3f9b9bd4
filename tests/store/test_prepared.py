"""What a connection prepares, and where; what that must not break; and how little one enqueue asks of the server."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from databases import run_on
from factories import LEASE, QUEUE, new_command
from faulty import Faulty
from pooler import Pooler
from psycopg import sql
from racing import Stage
from virtual_store import VirtualStore, query

from durex_core import Durex
from durex_core.errors import DatabaseBusy, DatabaseError
from durex_core.model import Enqueued
from durex_core.rules.outcomes import Returned
from durex_core.store import commands
from durex_core.store.database import Access, Connection, Database, as_tuple, open_database

KEPT = "SELECT name FROM pg_prepared_statements"
SETTINGS = "SELECT current_setting('enable_seqscan') AS scan, current_setting('plan_cache_mode') AS plan"
KNOWN_TO_BE_TAKEN = "SELECT pg_advisory_xact_lock(hashtext('durex_wake'))"


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """A Postgres, straight ahead."""
    with closing(open_database(postgres_url)) as database:
        yield database


def found(connection: Any, text: str) -> list[tuple[Any, ...]]:
    """Run a query on a Postgres connection of the store's."""
    return [tuple(row.values()) for row in query(connection, text)]


def used(database: Database, times: int) -> tuple[int, list[tuple[Any, ...]]]:
    """Use a database's one connection so often; return how many statements it keeps, and its settings."""
    for _ in range(times):
        database.run("schema/version")
    (connection,) = database._idle  # type: ignore[attr-defined]
    return len(found(connection, KEPT)), found(connection, SETTINGS)


def test_a_connection_that_is_used_again_prepares_its_statements_and_one_that_is_used_once_does_not(database: Database):
    assert used(database, 1) == (0, [("on", "auto")])
    assert used(database, 2) == (1, [("off", "force_generic_plan")])
    assert used(database, 5) == (1, [("off", "force_generic_plan")])


def test_behind_a_pooler_nothing_is_kept_at_the_server(postgres_url: str):
    with Pooler(postgres_url) as pooler, closing(open_database(pooler.url)) as database:
        assert used(database, 5) == (0, [("on", "auto")])


def test_a_process_that_comes_and_goes_keeps_nothing_at_the_server(postgres_url: str):
    with closing(open_database(postgres_url, Access(is_resident=False))) as database:
        assert used(database, 5) == (0, [("on", "auto")])


def test_a_connection_of_the_callers_is_left_as_it_is(database: Database, postgres_url: str):
    with psycopg.connect(postgres_url) as raw:
        for _ in range(5):
            with database.joined(raw) as connection:
                commands.enqueue(connection, [new_command()])
        assert raw.execute(KEPT).fetchall() == []


def test_a_role_in_lambda_is_not_resident(monkeypatch: pytest.MonkeyPatch, postgres_url: str):
    with closing(Durex(postgres_url)) as app:
        assert app.database.is_listened_to
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    with closing(Durex(postgres_url)) as app:
        assert not app.database.is_listened_to


PROBE = "SELECT * FROM probe"


def look(connection: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the store runs its own, whose columns change with the schema."""
    return connection._prepared.run(PROBE, {}, as_tuple)  # type: ignore[no-any-return]


@pytest.fixture
def living(database: Database, postgres_url: str) -> Database:
    """A database whose connection has prepared a statement, and then the schema changes."""
    run_on(postgres_url, sql.SQL("CREATE TABLE probe AS SELECT 1 AS a"))
    used(database, 2)
    with database.autocommit() as connection:
        assert look(connection) == [(1,)]
    run_on(postgres_url, sql.SQL("ALTER TABLE probe ADD COLUMN b integer"))
    return database


def test_a_migration_does_not_fail_the_statements_of_those_who_work_on(living: Database):
    with living.autocommit() as connection:
        assert look(connection) == [(1, None)]
        assert look(connection) == [(1, None)]


def test_what_somebody_had_forgotten_is_prepared_again(living: Database):
    with living.autocommit() as connection:
        query(connection, "DEALLOCATE ALL")

        assert look(connection) == [(1, None)]


def test_within_a_transaction_a_migration_has_it_done_again(living: Database):
    tries = []

    def work(connection: Connection) -> list[tuple[Any, ...]]:
        tries.append(connection)
        return look(connection)

    assert living.transact(work) == [(1, None)]
    assert len(tries) == 2


def claim(database: Database) -> commands.Claimed:
    with database.autocommit() as connection:
        return commands.claim(connection, [QUEUE], limit=1, lease=LEASE, worker="w")


def test_an_error_of_a_prepared_statement_is_told_as_any_other(database: Database):
    twice = new_command()
    for _ in range(3):
        with database.autocommit() as connection, pytest.raises(DatabaseError, match="commands/enqueue: duplicate key"):
            commands.enqueue(connection, [twice, twice])

    assert claim(database).commands == []


def test_a_plan_that_was_made_when_there_was_nothing_reads_by_index(postgres_url: str):
    run_on(postgres_url, sql.SQL("VACUUM (ANALYZE)"))
    with closing(open_database(postgres_url)) as database:
        for _ in range(8):
            claim(database)
        with database.autocommit() as connection:
            ((name, arguments),) = found(
                connection,
                "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement LIKE '%%SKIP%%'",
            )
            plan = found(connection, f"EXPLAIN EXECUTE {name}({', '.join(['NULL'] * arguments)})")

    read = [line for (line,) in plan if "on commands" in line and "Scan" in line]
    assert any("commands_pending" in line for line in read)
    assert not [line for line in read if "Seq Scan" in line]


def test_a_single_enqueue_asks_the_server_once(postgres_url: str):
    with Faulty(postgres_url) as server, closing(Durex(server.url)) as app:
        app.command("greet")(lambda: None)
        for _ in range(3):
            app.enqueue("greet")
        server.heard = 0
        app.enqueue("greet", unique_key="k")

        assert server.heard == 1


@pytest.fixture
def listener(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Whoever listens in another process."""
    with psycopg.connect(postgres_url, autocommit=True) as listener:
        listener.execute("LISTEN durex_wake")
        yield listener


def heard_by(listener: psycopg.Connection[Any]) -> int:
    """Count the pokes until there is silence."""
    return len(list(listener.notifies(timeout=0.5)))


def enqueue_one(database: Database, **overrides: Any) -> tuple[Enqueued, bool]:
    with database.autocommit() as connection:
        return commands.enqueue_one(connection, new_command(**overrides), pokes=True)


def test_a_commit_pokes(database: Database, listener: psycopg.Connection[Any]):
    enqueued, is_told = enqueue_one(database)

    assert (enqueued.created, is_told, heard_by(listener)) == (True, True, 1)


def test_a_commit_does_not_wait_for_another_one_that_pokes(stage: Stage, listener: psycopg.Connection[Any]):
    with stage.held_open() as connection:
        query(connection, KNOWN_TO_BE_TAKEN)
        enqueued, is_told = enqueue_one(stage.database)

    assert (enqueued.created, is_told, heard_by(listener)) == (True, False, 0)


def test_whose_commit_did_not_poke_pokes_afterwards(stage: Stage, postgres_url: str, listener: psycopg.Connection[Any]):
    with closing(Durex(postgres_url)) as app:
        app.command("greet")(lambda: None)
        app.enqueue("greet")
        assert heard_by(listener) == 1
        with stage.held_open() as connection:
            query(connection, KNOWN_TO_BE_TAKEN)
            app.enqueue("greet")
            assert heard_by(listener) == 1


def test_a_poke_whose_answer_nobody_waited_for_is_given_and_the_connection_goes_on(
    database: Database, listener: psycopg.Connection[Any]
):
    for _ in range(3):
        database.poke()
        database.run("schema/version")
    database.poke()
    database.close()

    assert heard_by(listener) == 4


def test_one_command_takes_a_unique_key_as_many_do(store: VirtualStore):
    with store.database.autocommit() as connection:
        first = commands.enqueue_one(connection, new_command(unique_key="k"))[0]
        second = commands.enqueue_one(connection, new_command(unique_key="k"))[0]

    assert (first.created, second) == (True, Enqueued(first.id, created=False))


def test_a_single_command_whose_key_changes_hands_all_the_time_finds_the_database_busy(stage: Stage):
    class Hasty:
        dialect = "postgres"

        def run(self, statement: str, **parameters: Any) -> list[Any]:
            if statement == "commands/enqueue_one":
                stage.store.add(unique_key="k")
            answer = running.run(statement, **parameters)
            if statement == "commands/enqueue_one":
                stage.store.settle(stage.store.claim_one(), Returned())
            return answer

    with stage.database.autocommit() as running, pytest.raises(DatabaseBusy, match="changed hands 5 times"):
        commands.enqueue_one(Hasty(), new_command(unique_key="k"))  # type: ignore[arg-type]
