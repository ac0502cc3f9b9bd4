"""Databases: opening them, transactions that are tried again, connections that end, and errors that say what to do."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from factories import LEASE, START, new_command
from virtual_store import VirtualStore, query, schema_of

from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable
from durex_core.store import commands
from durex_core.store.database import Connection, Database, open_database


class ChangedItsMind(Exception):
    """Ends a transaction."""


def test_work_that_loses_against_others_is_done_again_from_its_start(database: Database):
    tries = []

    def lose_twice(connection: Connection) -> int:
        commands.enqueue(connection, [new_command()], now=START)
        tries.append(connection)
        if len(tries) < 3:
            raise DatabaseBusy("staged")
        return len(tries)

    assert database.transact(lose_twice) == 3

    assert VirtualStore(database).count("commands") == 1


def test_work_that_loses_five_times_gives_up(database: Database):
    tries = []

    def lose(connection: Connection) -> None:
        tries.append(connection)
        raise DatabaseBusy("staged")

    with pytest.raises(DatabaseBusy):
        database.transact(lose)

    assert len(tries) == 5


@pytest.mark.parametrize("error", [ChangedItsMind(), DatabaseError("staged"), DatabaseUnavailable("staged")])
def test_any_other_error_rolls_back_and_is_not_tried_again(database: Database, error: Exception):
    tries = []

    def fail(connection: Connection) -> None:
        commands.enqueue(connection, [new_command()], now=START)
        tries.append(connection)
        raise error

    with pytest.raises(type(error)):
        database.transact(fail)

    assert len(tries) == 1
    assert VirtualStore(database).count("commands") == 0


def test_an_interrupt_rolls_back_too(database: Database):
    def interrupt(connection: Connection) -> None:
        commands.enqueue(connection, [new_command()], now=START)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.transact(interrupt)

    assert VirtualStore(database).count("commands") == 0


def test_after_an_error_the_next_transaction_starts_clean(database: Database):
    store = VirtualStore(database)
    twice = new_command()
    for _ in range(3):
        with pytest.raises(DatabaseError, match="commands/enqueue"):
            store.enqueue(twice, twice)

    assert store.enqueue(twice)[0].created


def test_statements_outside_a_transaction_commit_by_themselves(database: Database):
    with database.autocommit() as connection:
        commands.enqueue(connection, [new_command()], now=START)
        assert VirtualStore(database).count("commands") == 1


def test_what_a_transaction_wrote_is_seen_by_others_only_once_it_commits(database: Database):
    with database.transaction() as connection:
        commands.enqueue(connection, [new_command()], now=START)
        assert VirtualStore(database).count("commands") == 0

    assert VirtualStore(database).count("commands") == 1


def test_a_closed_database_opens_again_when_used(database: Database):
    store = VirtualStore(database)
    command_id = store.add()

    database.close()

    assert store.get(command_id).id == command_id


def test_a_lock_that_is_held_for_long_makes_the_database_busy(database: Database):
    store = VirtualStore(database)
    attempt = store.start()

    with database.transaction() as held:
        commands.heartbeat(held, [attempt], lease=LEASE, now=START)
        with database.autocommit() as other, pytest.raises(DatabaseBusy):
            impatiently(other, lambda: commands.heartbeat(other, [attempt], lease=LEASE, now=START))


def impatiently(connection: Connection, work) -> None:
    """Run work that does not wait for locks."""
    raw = connection.raw  # type: ignore[attr-defined]
    if connection.dialect == "sqlite":
        raw.execute("PRAGMA busy_timeout = 0")
        work()
        return
    with raw.transaction():
        raw.execute("SET LOCAL lock_timeout = '1ms'")
        work()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    """A Postgres of its own."""
    with closing(open_database(postgres_url)) as database:
        yield database


def end_connections_of(database: Database) -> None:
    """Have the server end the connections of a database, as it does when it restarts."""
    with database.autocommit() as observer:
        query(
            observer,
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )


def test_an_idle_connection_that_the_server_ended_is_replaced_before_it_is_used(postgres: Database, postgres_url: str):
    store = VirtualStore(postgres)
    command_id = store.add()

    with closing(open_database(postgres_url)) as other:
        end_connections_of(other)

    assert store.get(command_id).id == command_id


def test_a_connection_that_ends_in_a_transaction_takes_it_back_and_is_replaced(postgres: Database, postgres_url: str):
    def lose_connection(connection: Connection) -> None:
        commands.enqueue(connection, [new_command()], now=START)
        with closing(open_database(postgres_url)) as other:
            end_connections_of(other)
        commands.enqueue(connection, [new_command()], now=START)

    with pytest.raises(DatabaseUnavailable, match="commands/enqueue"):
        postgres.transact(lose_connection)

    assert VirtualStore(postgres).count("commands") == 0


def test_a_database_in_memory_is_one_database_for_all_threads():
    with closing(open_database("sqlite:///:memory:")) as database:
        database.migrate()
        store = VirtualStore(database)

        with ThreadPoolExecutor(8) as pool:
            ids = set(pool.map(lambda _: store.add(), range(50)))

        assert {command.id for command in store.claim(limit=100)} == ids


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_without_a_file_is_in_memory(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    with closing(open_database(url)) as database:
        assert database.migrate()

    assert list(tmp_path.iterdir()) == []


def test_a_sqlite_file_is_named_from_here_or_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    for url in ("sqlite:///here.db", f"sqlite:///{tmp_path}/root.db"):
        with closing(open_database(url)) as database:
            database.migrate()

    assert {path.name for path in tmp_path.glob("*.db")} == {"here.db", "root.db"}


def test_a_sqlite_file_keeps_what_was_accepted_through_a_power_cut(sqlite_url: str):
    with closing(open_database(sqlite_url)) as database, database.autocommit() as connection:
        assert query(connection, "PRAGMA journal_mode") == [("wal",)]
        assert query(connection, "PRAGMA synchronous") == [(2,)]  # FULL: every commit is synced


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path):
    database = open_database(f"sqlite:///{tmp_path}/nowhere/durex.db")

    with pytest.raises(DatabaseUnavailable, match=r"nowhere/durex\.db: its folder does not exist; make it first"):
        database.run("schema/version")


def test_a_folder_is_no_database(tmp_path: Path):
    with pytest.raises(DatabaseUnavailable, match="connect: unable to open database file"):
        open_database(f"sqlite:///{tmp_path}").run("schema/version")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / "letter.db").write_text("Dear Sir or Madam, " * 100)

    with pytest.raises(DatabaseError, match="file is not a database"):
        open_database(f"sqlite:///{tmp_path}/letter.db").run("schema/version")


def test_a_server_that_does_not_answer_is_unavailable_and_its_password_stays_secret():
    database = open_database("postgresql://durex:s3cr3t@127.0.0.1:1/durex")

    with pytest.raises(DatabaseUnavailable, match=r"cannot connect to postgresql://durex:\*\*\*@127") as caught:
        database.run("schema/version")

    assert "s3cr3t" not in str(caught.value)


def test_a_url_that_cannot_be_read_is_refused_without_quoting_the_password():
    database = open_database("postgresql://durex:s3%cr3t@127.0.0.1/durex")

    with pytest.raises(DatabaseError, match="percent-encode what is special in it") as caught:
        database.run("schema/version")

    assert "cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_poke_is_heard_and_silence_is_not(database: Database, database_url: str):
    with closing(open_database(database_url)) as other, database.listen(0.2) as pokes:
        assert not pokes.wait()

        VirtualStore(other).add()
        other.poke()
        assert pokes.wait()

        assert not pokes.wait()


def test_a_poke_of_a_database_that_is_away_is_lost_quietly():
    open_database("postgresql://durex@127.0.0.1:1/durex").poke()


def test_connections_are_kept_for_the_next_use(database: Database):
    used = []
    for _ in range(3):
        with database.autocommit() as connection:
            used.append(connection)

    assert len({id(connection) for connection in used}) == 1


def test_threads_never_share_a_connection(database: Database):
    both_in = threading.Barrier(2)

    def borrow(_: int) -> int:
        with database.autocommit() as connection:
            both_in.wait(30)
            query(connection, f"SELECT count(*) FROM {schema_of(connection)}commands")
            both_in.wait(30)
            return id(connection)

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(borrow, range(2)))) == 2
