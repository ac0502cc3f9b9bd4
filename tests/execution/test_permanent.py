"""Permanent commands: always one of them there, however many workers see to it."""

from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import Context
from durex_core.model import State
from durex_core.operations.permanent import ensure
from durex_core.results import Repeat

LATER = timedelta(hours=1)


@pytest.fixture
def sweep(app, other):
    """Register a permanent command that runs once an hour, in both applications."""
    ran = []

    def sweep(ctx: Context) -> Repeat:
        ran.append(ctx.run)
        return Repeat(delay=LATER)

    for one in (app, other):
        one.command("sweep", permanent=True)(sweep)
    return ran


def live(stage):
    return stage.run("SELECT id, unique_key, state FROM commands WHERE name = 'sweep'")


def again(app):
    """Do what a worker does once a minute."""
    return ensure(app.database, app.registry, app.wake, observers=app.surroundings.observers)


def test_several_workers_that_start_together_start_one(app, other, sweep, work, stage):
    for one in (app, app, other, other):
        work(one)
    wait_until(lambda: stage.finished("sweep"))
    for one in (app, other):
        again(one)

    ((_, key, state),) = live(stage)
    assert (key, state, sweep) == ("permanent:sweep", "repeating", [1])


def test_one_that_failed_for_good_is_back_at_the_next_round(app, work, stage):
    @app.command("sweep", permanent=True)
    def sweep() -> None:
        raise ValueError("broken")

    work()
    wait_until(lambda: stage.finished("sweep"))
    assert live(stage) == []
    (answer,) = again(app)

    assert answer.created
    wait_until(lambda: len(stage.finished("sweep")) == 2)
    assert {app.get(one).state for one in stage.finished("sweep")} == {State.DEAD_LETTER}


def test_one_that_was_cancelled_or_completed_is_back_at_the_next_round(app, sweep, stage):
    app.command("once", permanent=True)(lambda: None)
    first = {one.id for one in again(app)}
    assert (len(first), again(app)) == (2, [])

    app.cancel(next(row[0] for row in live(stage)))
    (answer,) = again(app)
    assert answer.id not in first
    assert sweep == []


def test_it_takes_the_payload_and_the_options_of_its_handler(app, stage):
    app.command("sweep", permanent=True, payload={"depth": 3}, priority=7, retries=2)(lambda payload: payload)
    again(app)

    command = app.get(live(stage)[0][0])
    assert (command.payload, command.priority, command.retries) == ({"depth": 3}, 7, 2)


def test_it_goes_on_when_its_workers_were_restarted(app, other, sweep, work, stage):
    first = work(app)
    wait_until(lambda: stage.finished("sweep"))
    ((command_id, *_),) = live(stage)
    first.stop()
    stage.run("UPDATE commands SET ready_at = created_at")
    work(other)
    wait_until(lambda: len(stage.finished("sweep")) == 2)

    assert [row[0] for row in live(stage)] == [command_id]
    assert sweep == [1, 2]


def test_what_cannot_be_stored_keeps_no_worker_from_its_work(app, work, finished, stage, caplog):
    app.command("sweep", permanent=True)(lambda: None)

    @app.command("greet")
    def greet() -> str:
        return "hello"

    with stage.refusing("sweep"):
        work()
        assert finished(greet.enqueue()).result == "hello"
    assert "the permanent commands cannot be started" in caplog.text


def test_without_permanent_commands_the_database_is_not_asked(app):
    app.command("greet")(lambda: None)
    app.use_database("postgresql://nobody@127.0.0.1:1/nothing")

    assert list(ensure(app.database, app.registry, None, observers=app.surroundings.observers)) == []
