"""Observers hear of what the database refuses, and of what is pruned."""

from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import Durex
from durex_core.errors import DatabaseError
from durex_core.model import RetentionPolicy
from durex_core.observer import Observer

SOON = timedelta(microseconds=1)


class Ear(Observer):
    """Writes down what it hears."""

    def __init__(self):
        self.failures = []
        self.dropped = 0

    def store_failed(self, operation, error):
        self.failures.append((operation, isinstance(error, DatabaseError)))

    def pruned(self, commands):
        self.dropped += commands


@pytest.fixture
def ear(app):
    """An observer of the application."""
    made = Ear()
    app.observe(made)
    return made


def test_an_enqueue_that_the_database_refuses_is_told_and_raised(app, ear, stage):
    app.command("greet")(lambda: None)

    with stage.refusing("greet"), pytest.raises(DatabaseError):
        app.enqueue("greet")

    assert ear.failures == [("enqueue", True)]


def test_an_outcome_that_the_database_refuses_is_told(app, ear, work, finished, stage):
    app.command("greet")(lambda: "hello")
    stage.refuse_result("hello")
    work()

    finished(app.enqueue("greet"))

    assert ear.failures == [("settle", True)]


def test_what_a_worker_prunes_is_told(sqlite_url, ear, work):
    # On Postgres what is old is dropped with its partition, uncounted.
    app = Durex(sqlite_url, retention=RetentionPolicy(completed=SOON, attention=SOON))
    app.observe(ear)
    app.command("greet")(lambda: None)
    hand = work(app)
    command_id = app.enqueue("greet").id
    wait_until(lambda: app.get(command_id).state.is_terminal)
    hand.stop()

    work(app)

    wait_until(lambda: ear.dropped)
    assert ear.dropped == 1
