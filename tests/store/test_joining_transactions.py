"""Enqueuing in a transaction of the caller's: the command is stored when that commits, or not at all."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from durex_core import Durex, Spec
from durex_core.errors import CommandNotFound, InvalidSpec, WrongConnection
from durex_core.model import Enqueued, State

OWN_TABLE = "CREATE TABLE orders (id integer)"
ORDER = "INSERT INTO orders VALUES (1)"


@pytest.fixture
def app(database_url: str) -> Iterator[Durex]:
    """An application on a fresh database of each kind, beside a table of its user's."""
    with closing(Durex(database_url)) as app:
        app.command("greet")(lambda: "hello")
        app.command("tell")(lambda payload: payload)
        with app.database.transaction() as connection:
            connection.raw.execute(OWN_TABLE)  # type: ignore[attr-defined]
        yield app


def connect(app: Durex, *, autocommit: bool = False) -> Any:
    """Connect as a user would."""
    if app.database.dialect == "postgres":
        return psycopg.connect(app.database_url, autocommit=autocommit)
    path = app.database_url.removeprefix("sqlite:///")
    return sqlite3.connect(path, isolation_level=None if autocommit else "")


def engine_of(app: Durex) -> Any:
    return create_engine(app.database_url.replace("postgresql://", "postgresql+psycopg://"))


def is_stored(app: Durex, enqueued: Enqueued) -> bool:
    try:
        return app.get(enqueued.id).state in (State.PENDING, State.SCHEDULED)
    except CommandNotFound:
        return False


def orders(app: Durex) -> int:
    with app.database.autocommit() as connection:
        return len(connection.raw.execute("SELECT * FROM orders").fetchall())  # type: ignore[attr-defined]


def through_driver(app: Durex, *, commit: bool) -> Enqueued:
    with closing(connect(app)) as connection:
        connection.execute(ORDER)
        enqueued = app.enqueue("greet", connection=connection)
        assert not is_stored(app, enqueued), "before the commit nobody sees it"
        (connection.commit if commit else connection.rollback)()
    return enqueued


def through_sqlalchemy_connection(app: Durex, *, commit: bool) -> Enqueued:
    engine = engine_of(app)
    with engine.connect() as connection:
        connection.execute(text(ORDER))
        enqueued = app.enqueue("greet", connection=connection)
        (connection.commit if commit else connection.rollback)()
    engine.dispose()
    return enqueued


def through_sqlalchemy_session(app: Durex, *, commit: bool) -> Enqueued:
    engine = engine_of(app)
    with Session(engine) as session:
        session.execute(text(ORDER))
        enqueued = app.enqueue("greet", connection=session)
        (session.commit if commit else session.rollback)()
    engine.dispose()
    return enqueued


ways = pytest.mark.parametrize(
    "through", [through_driver, through_sqlalchemy_connection, through_sqlalchemy_session], ids=lambda way: way.__name__
)


@ways
def test_it_commits_with_what_the_caller_wrote(app: Durex, through: Callable[..., Enqueued]):
    assert is_stored(app, through(app, commit=True))
    assert orders(app) == 1


@ways
def test_it_is_rolled_back_with_what_the_caller_wrote(app: Durex, through: Callable[..., Enqueued]):
    assert not is_stored(app, through(app, commit=False))
    assert orders(app) == 0


def test_a_key_that_was_taken_in_a_transaction_that_is_rolled_back_is_free(app: Durex):
    with closing(connect(app)) as connection:
        first = app.enqueue("greet", idempotency_key="request 1", unique_key="one", connection=connection)
        connection.rollback()

    second = app.enqueue("greet", idempotency_key="request 1", unique_key="one")
    assert (second.created, second.id != first.id) == (True, True)


def test_many_join_together(app: Durex):
    with closing(connect(app)) as connection:
        answers = app.enqueue_many([Spec("greet"), Spec("tell", 1, delay=timedelta(hours=1))], connection=connection)
        connection.commit()

    assert [is_stored(app, answer) for answer in answers] == [True, True]


def test_a_connection_that_commits_each_statement_stores_all_or_none(app: Durex, monkeypatch: pytest.MonkeyPatch):
    with closing(connect(app, autocommit=True)) as connection:
        assert is_stored(app, app.enqueue("greet", idempotency_key="a", connection=connection))

        monkeypatch.setattr("durex_core.store.commands._place", fail)
        with pytest.raises(ZeroDivisionError):
            app.enqueue("greet", idempotency_key="b", connection=connection)
        monkeypatch.undo()

    assert app.enqueue("greet", idempotency_key="b").created, "the key was left behind without its command"


def test_a_transaction_of_a_connection_in_autocommit_is_the_callers_all_the_same(app: Durex):
    with closing(connect(app, autocommit=True)) as connection:
        connection.execute("BEGIN")
        enqueued = app.enqueue("greet", connection=connection)
        connection.execute("ROLLBACK")

    assert not is_stored(app, enqueued)


def test_rows_of_another_form_do_not_matter(app: Durex):
    with closing(connect(app)) as connection:
        connection.row_factory = dict_row if app.database.dialect == "postgres" else lambda _cursor, row: {"row": row}
        enqueued = app.enqueue("greet", idempotency_key="a", connection=connection)
        connection.commit()

    assert is_stored(app, enqueued)


def test_a_handle_joins_too(app: Durex):
    @app.command("handled")
    def handled() -> None: ...

    with closing(connect(app)) as connection:
        enqueued = handled.enqueue(connection=connection)
        connection.rollback()

    assert not is_stored(app, enqueued)


def test_what_is_refused_at_the_edge_leaves_the_transaction_as_it_was(app: Durex):
    with closing(connect(app)) as connection:
        connection.execute(ORDER)
        with pytest.raises(InvalidSpec):
            app.enqueue("greet", retries=-1, connection=connection)
        connection.commit()

    assert orders(app) == 1


@pytest.mark.parametrize("connection", ["postgresql://…", object(), 5])
def test_what_is_no_connection_of_the_database_is_refused(app: Durex, connection: Any):
    with pytest.raises(WrongConnection, match=r"connection is a builtins\.\w+; to join its transaction it must be"):
        app.enqueue("greet", connection=connection)


def test_a_connection_of_the_other_kind_is_refused(sqlite_url: str, postgres_url: str):
    on_sqlite, on_postgres = Durex(sqlite_url), Durex(postgres_url)
    for app in (on_sqlite, on_postgres):
        app.command("greet")(lambda: None)
    with closing(connect(on_sqlite)) as sqlite, closing(connect(on_postgres)) as postgres:
        with pytest.raises(WrongConnection, match=r"must be psycopg's \(version 3\)"):
            on_postgres.enqueue("greet", connection=sqlite)
        with pytest.raises(WrongConnection, match=r"must be a sqlite3\.Connection"):
            on_sqlite.enqueue("greet", connection=postgres)
    on_sqlite.close()
    on_postgres.close()


def fail(*_: Any) -> None:
    raise ZeroDivisionError
