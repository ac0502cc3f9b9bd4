"""A command that this worker has no handler for waits for one that has, and not forever."""

from datetime import timedelta

import pytest
from staging import wait_until

from durex_core.errors import UnknownCommand
from durex_core.model import State
from durex_core.rules.lifecycle import MAX_HANDLER_MISSES


@pytest.fixture
def newer(other):
    """An application that knows one more command of the shared queue."""

    @other.command("added", queue="shared")
    def added() -> str:
        return "by the newer one"

    return other


@pytest.fixture
def old_command(app):
    """The command that the older application has in the shared queue."""

    @app.command("old", queue="shared")
    def old() -> str:
        return "by the older one"

    return old


def test_an_unknown_command_is_put_back_for_a_worker_that_knows_it(app, newer, old_command, work, finished):
    enqueued = newer.enqueue("added")
    older = work(app)
    wait_until(lambda: app.get(enqueued.id).history)

    put_back = app.get(enqueued.id)
    assert (put_back.state, put_back.attempt) == (State.SCHEDULED, 0)
    assert finished(old_command.enqueue()).result == "by the older one"
    older.stop()
    work(newer)

    command = finished(enqueued)
    assert (command.result, command.attempt) == ("by the newer one", 1)
    assert {past.outcome for past in command.history} == {"handler_missing"}


def test_an_unknown_command_ends_in_the_dead_letter_queue_after_a_bounded_number_of_tries(
    app, newer, old_command, work, stage
):
    enqueued = newer.enqueue("added", retries=3)
    work(app, lease=timedelta(seconds=1))

    def has_ended() -> bool:
        stage.make_due()
        app._bell.ring()
        return app.get(enqueued.id).state.is_terminal

    wait_until(has_ended)
    command = app.get(enqueued.id)
    assert (command.state, command.error.type) == (State.DEAD_LETTER, "HandlerMissing")
    assert "'added'" in command.error.message
    assert [past.outcome for past in command.history] == ["handler_missing"] * MAX_HANDLER_MISSES
    assert old_command.name == "old"


def test_an_unknown_name_is_refused_when_it_is_enqueued(app, old_command):
    with pytest.raises(UnknownCommand, match=f"known: {old_command.name}"):
        app.enqueue("added")
