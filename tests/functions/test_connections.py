"""The one connection of an environment: reopened when the server ended it, dropped when the server changed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread

import errands
import pytest
from invocations import failed
from resuming import Resuming
from staging import wait_until

from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.model import State
from durex_core.store.database import Access, Connection, Database, open_database
from durex_core.store.migrate import migrations

NEWEST = [{"version": migrations("postgres")[-1].version}]


@pytest.fixture
def database(roles) -> Iterator[Database]:
    """A database as the worker's role sees it, with a single connection."""
    opened = open_database(roles.of("worker"), Access(max_connections=1))
    yield opened
    opened.close()


def backend(database: Database) -> int:
    """Return the server's id of the session."""
    with database.autocommit() as connection:
        return int(connection.raw.info.backend_pid)


def test_a_connection_that_was_ended_is_replaced_before_it_is_used(database, stage):
    first = backend(database)
    stage.end_sessions()
    wait_until(lambda: stage.end_sessions() == 0)

    assert backend(database) != first


def test_the_server_ends_a_session_that_idles(database, roles, stage):
    roles.set("worker", "idle_session_timeout", "50ms")
    first = backend(database)
    wait_until(lambda: stage.end_sessions() == 0)

    assert backend(database) != first
    assert database.run("schema/version") == NEWEST


def test_a_connection_that_was_ended_while_it_was_used_is_dropped(database, stage):
    def end_and_use(connection: Connection) -> None:
        stage.end_sessions()
        connection.run("schema/version")

    with pytest.raises(DatabaseUnavailable):
        database.transact(end_and_use)

    assert database.run("schema/version") == NEWEST


def test_a_server_that_became_read_only_is_left(database, roles):
    roles.set("worker", "default_transaction_read_only", "on")
    first = backend(database)
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        database.transact(lambda connection: connection.run("commands/rescue", limit=1))
    roles.set("worker", "default_transaction_read_only", "off")

    assert backend(database) != first
    assert database.transact(lambda connection: connection.run("commands/rescue", limit=1)) == []


def test_a_connection_that_idled_for_long_is_asked_before_it_is_used(database, monkeypatch):
    first = backend(database)
    monkeypatch.setattr("durex_core.store.postgres_connection._FRESH", timedelta(0))
    assert backend(database) == first
    monkeypatch.setattr("durex_core.store.postgres_connection._answers", lambda _: False)

    assert backend(database) != first


def test_no_more_connections_are_opened_than_allowed(database, monkeypatch):
    monkeypatch.setattr("durex_core.store.postgres._PLACE_SECONDS", 0.05)

    with database.autocommit(), pytest.raises(DatabaseBusy, match="no connection became free"):
        database.run("schema/version")

    assert database.run("schema/version") == NEWEST


def test_a_worker_waits_out_a_failover(worker, app, roles):
    app.use_database(roles.url)
    id_ = errands.greet.enqueue("ada").id
    app.use_database(roles.of("worker"))
    roles.set("worker", "default_transaction_read_only", "on")

    with on_warning("waiting for the database", lambda: roles.set("worker", "default_transaction_read_only", "off")):
        answer = worker.invoke(need=timedelta(seconds=5))

    assert failed(answer) == []
    assert app.get(id_).state is State.COMPLETED


def test_a_worker_whose_database_came_back_too_late_sends_its_wake_on(worker, app, roles):
    app.use_database(roles.url)
    id_ = errands.greet.enqueue("ada").id
    app.use_database(roles.of("worker"))
    roles.set("worker", "default_transaction_read_only", "on")

    with on_warning("waiting for the database", lambda: roles.set("worker", "default_transaction_read_only", "off")):
        answer = worker.invoke(seconds=12, need=timedelta(seconds=11.5))

    assert failed(answer) == []
    assert app.get(id_).state is State.PENDING
    assert worker.own.depths() == [0]


@pytest.mark.slow
def test_a_worker_waits_for_a_database_that_resumes(worker, app, postgres_url, monkeypatch):
    monkeypatch.setenv("DUREX_DATABASE_CONNECT_TIMEOUT_SECONDS", "2")
    id_ = errands.greet.enqueue("ada").id

    with Resuming(postgres_url) as database:
        app.use_database(database.url)
        with on_warning("waiting for the database", database.awake.set):
            answer = worker.invoke(need=timedelta(seconds=5))
        assert app.get(id_).state is State.COMPLETED
        app.close()

    assert failed(answer) == []


def test_a_settlement_waits_out_a_database_that_is_away(worker, app, stage, tmp_path):
    gate = tmp_path / "gate"
    id_ = errands.wait_for_file.enqueue(str(gate)).id

    def hang_up() -> None:
        wait_until((tmp_path / "gate.waiting").exists)
        stage.end_sessions()
        gate.touch()

    thread = Thread(target=hang_up)
    thread.start()
    answer = worker.invoke()
    thread.join()

    assert failed(answer) == []
    assert app.get(id_).state is State.COMPLETED


@contextmanager
def on_warning(text: str, do: Callable[[], None]) -> Iterator[None]:
    """Do something when the worker first warns with a text."""

    class Trigger(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                do()

    logger, trigger = logging.getLogger("durex_core.serverless.worker"), Trigger(logging.WARNING)
    logger.addHandler(trigger)
    try:
        yield
    finally:
        logger.removeHandler(trigger)
