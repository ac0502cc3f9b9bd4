"""An application has a database of its own during the block, and afterwards what it had before."""

import json

import pytest
from factories import START

from durex_core import Durex
from durex_core.errors import CommandNotFound, DatabaseError, DatabaseUnavailable, DurexError
from durex_core.model import State
from durex_core.testing import Harness


@pytest.fixture
def owner():
    """An application with a command in its own database, which is gone once it is closed."""
    app = Durex("sqlite:///:memory:")
    app.command("keep")(lambda: None)
    yield app
    app.close()


def test_the_application_returns_to_its_own_database(owner, throwaway_url):
    own = owner.enqueue("keep")

    with Harness(owner, start=START, database=throwaway_url) as harness:
        other = owner.enqueue("keep")
        with pytest.raises(CommandNotFound):
            owner.get(own.id)
        harness.run_until_idle()
        assert owner.get(other.id).state is State.COMPLETED

    assert owner.get(own.id).state is State.PENDING
    assert owner.get(own.id).created_at > START
    with pytest.raises(CommandNotFound):
        owner.get(other.id)


def test_it_returns_after_an_error_too(owner):
    own = owner.enqueue("keep")

    with pytest.raises(ZeroDivisionError), Harness(owner):
        _ = 1 / 0

    assert owner.get(own.id).state is State.PENDING


def test_harnesses_may_be_nested(owner):
    with Harness(owner) as outer:
        owner.enqueue("keep")
        with Harness(owner) as inner:
            assert inner.commands() == []
        assert len(outer.commands()) == 1


def test_the_own_database_is_not_touched(app, harness):
    app.command("fetch")(lambda: None)

    app.enqueue("fetch")

    assert harness.run_until_idle() == 1
    assert app.health().status == "healthy"
    assert app.migrate() == []


def test_closing_the_application_loses_nothing(app, harness):
    app.command("fetch")(lambda: None)
    app.enqueue("fetch")

    app.close()

    assert harness.run_until_idle() == 1
    assert len(harness.commands()) == 1


def test_no_wake_is_sent_to_aws(app, throwaway_url, monkeypatch):
    monkeypatch.setenv("DUREX_WAKE_URLS", json.dumps({"fetch": "http://127.0.0.1:1/queue"}))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    app.command("fetch")(lambda: None)

    with Harness(app, database=throwaway_url) as harness:
        app.enqueue("fetch")
        assert harness.run_until_idle() == 1


def test_a_database_that_holds_commands_is_refused_and_left_alone(app, owner, sqlite_url):
    owner.use_database(sqlite_url)
    kept = owner.enqueue("keep")

    with pytest.raises(DurexError, match="holds commands already"), Harness(app, database=sqlite_url):
        pass

    assert owner.get(kept.id).state is State.PENDING


def test_a_postgres_server_keeps_nothing_of_it(app, postgres_server, stage_names):
    before = stage_names()

    with Harness(app, database=postgres_server):
        (made,) = stage_names() - before
        assert made.startswith("durex_test_")

    assert stage_names() == before


def test_a_server_that_does_not_answer_is_an_error_and_changes_nothing(owner):
    with pytest.raises(DatabaseUnavailable), Harness(owner, database="postgresql://nobody@127.0.0.1:1/nothing"):
        pass

    assert owner.enqueue("keep").created


def test_a_server_that_lets_nobody_make_databases_is_an_error_that_says_what_to_do(app, postgres_server):
    sign = "&" if "?" in postgres_server else "?"
    read_only = f"{postgres_server}{sign}options=-c%20default_transaction_read_only%3Don"

    with pytest.raises(DatabaseError, match="cannot make a throw-away database"), Harness(app, database=read_only):
        pass


@pytest.fixture
def stage_names(postgres_server):
    import psycopg  # noqa: PLC0415

    def names():
        with psycopg.connect(postgres_server) as connection:
            return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}

    return names
