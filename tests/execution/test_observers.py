"""Observers hear of what a process does, after it is stored; what they do with it changes nothing."""

import logging
from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import Context, Spec
from durex_core.backoff import Constant
from durex_core.errors import Cancel, InvalidSpec, NonRetryable
from durex_core.model import State
from durex_core.observer import Observer
from durex_core.results import Next

LATER = timedelta(hours=1)


class Ear(Observer):
    """Writes down what it hears, and what was stored by then."""

    def __init__(self, app):
        self.heard = []
        self.errors = []
        self._app = app

    def enqueued(self, commands):
        self._stored("enqueued", commands)

    def started(self, command):
        self.heard.append(("started", command.name, command.attempt, command.state.value))

    def settled(self, settlement, seconds):
        stored = self._app.get(settlement.command.id)
        self.heard.append(("settled", settlement.command.name, settlement.outcome, stored.state.value, seconds > 0))

    def cancelled(self, commands):
        self._stored("cancelled", commands)

    def revived(self, command):
        self._stored("revived", [command])

    def _stored(self, what, commands):
        self.heard.append((what, [(self._app.get(one.id).name, self._app.get(one.id).state.value) for one in commands]))


@pytest.fixture
def ear(app):
    """An observer of the application."""
    made = Ear(app)
    app.observe(made)
    return made


def test_every_step_of_a_commands_life_is_told_once_and_after_it_is_stored(app, ear, work, finished):
    @app.command("flaky", retries=1)
    def flaky(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")

    enqueued = flaky.enqueue()
    hand = work()
    finished(enqueued)
    hand.stop()

    # The next attempt may begin before everybody was told of the end of the last one.
    assert ear.heard[:2] == [("enqueued", [("flaky", "pending")]), ("started", "flaky", 1, "started")]
    ended = [heard[:3] + heard[4:] for heard in ear.heard if heard[0] == "settled"]
    assert ended == [("settled", "flaky", "failed", True), ("settled", "flaky", "completed", True)]
    assert [heard for heard in ear.heard if heard[0] == "started"][1:] == [("started", "flaky", 2, "started")]
    assert len(ear.heard) == 5


def test_many_commands_of_one_transaction_are_told_together_and_known_ones_not_again(app, ear):
    app.command("greet")(lambda: None)

    app.enqueue_many([Spec("greet"), Spec("greet", unique_key="k", delay=LATER)])
    app.enqueue_many([Spec("greet", unique_key="k"), Spec("greet")])
    app.enqueue("greet", unique_key="k")
    app.enqueue_many([])
    with pytest.raises(InvalidSpec):
        app.enqueue("unheard_of")

    assert ear.heard == [
        ("enqueued", [("greet", "pending"), ("greet", "scheduled")]),
        ("enqueued", [("greet", "pending")]),
    ]


def test_cancelling_and_retrying_are_told(app, ear):
    app.command("greet")(lambda: None)
    enqueued = app.enqueue("greet")
    app.cancel(enqueued.id)
    app.retry(enqueued.id)

    assert ear.heard[1:] == [("cancelled", [("greet", "cancelled")]), ("revived", [("greet", "pending")])]


def test_an_end_without_an_attempt_took_no_time_and_had_no_start(app, ear, work, finished, stage):
    app.command("once", retries=0)(lambda: None)
    enqueued = app.enqueue("once")
    stage.start_elsewhere(enqueued.id, attempt=1, lease_seconds=-1)
    hand = work()
    finished(enqueued)
    hand.stop()

    assert ear.heard[1:] == [("settled", "once", "crashed", "dead_letter", False)]


def test_what_was_not_stored_is_not_told(app, ear, work, stage):
    @app.command("lose")
    def lose(ctx: Context) -> None:
        stage.run("UPDATE commands SET lease_number = 9 WHERE id = %s", str(ctx.id))

    lose.enqueue()
    hand = work()
    wait_until(lambda: len(ear.heard) == 2)
    hand.stop()

    assert [heard[0] for heard in ear.heard] == ["enqueued", "started"]


def test_an_observer_that_raises_changes_nothing_and_keeps_nobody_else_from_hearing(app, work, finished, caplog):
    class Broken(Observer):
        def enqueued(self, commands):
            raise ZeroDivisionError(commands)

        def started(self, command):
            raise ZeroDivisionError(command)

        def settled(self, settlement, seconds):
            raise ZeroDivisionError(settlement, seconds)

    app.observe(Broken())
    ear = Ear(app)
    app.observe(ear)

    @app.command("greet")
    def greet() -> str:
        return "hello"

    hand = work()
    assert finished(greet.enqueue()).result == "hello"
    hand.stop()

    # A worker may be quicker than whoever enqueued.
    assert sorted(heard[0] for heard in ear.heard) == ["enqueued", "settled", "started"]
    assert sum("the observer" in record.getMessage() for record in caplog.records) == 3
    assert {record.levelno for record in caplog.records if "observer" in record.getMessage()} == {logging.ERROR}


def test_on_error_hears_of_each_failure_for_good_once_it_is_stored_and_of_nothing_else(app, work, finished):
    heard = []

    @app.on_error
    def report(command, error) -> None:
        heard.append((command.name, command.payload, error.type, error.message, app.get(command.id).state))

    @app.command("fail", retries=1)
    def fail(how: str) -> None:
        if how == "cancel":
            raise Cancel
        if how == "for good":
            raise NonRetryable("at once")
        raise ValueError("twice")

    @app.command("late", deadline=timedelta(microseconds=1))
    def late() -> None: ...

    hand = work()
    for enqueued in (fail.enqueue("cancel"), late.enqueue(), fail.enqueue("for good"), fail.enqueue("")):
        finished(enqueued)
    finished(fail.enqueue("for good", dead_letter=False))
    hand.stop()

    assert heard == [
        ("fail", "for good", "NonRetryable", "at once", State.DEAD_LETTER),
        ("fail", "", "ValueError", "twice", State.DEAD_LETTER),
        ("fail", "for good", "NonRetryable", "at once", State.FAILED),
    ]


def test_on_error_that_fails_itself_changes_nothing(app, work, finished):
    app.on_error(lambda command, error: 1 / 0)  # noqa: ARG005

    @app.command("fail")
    def fail() -> None:
        raise ValueError("no")

    work()

    assert [finished(fail.enqueue()).state for _ in range(3)] == [State.DEAD_LETTER] * 3


def test_children_and_what_a_hook_asks_for_are_part_of_the_settlement_that_is_told(app, work, finished):
    settlements = []

    class Watch(Observer):
        def settled(self, settlement, seconds):  # noqa: ARG002
            settlements.append(settlement)

    app.observe(Watch())
    app.command("leaf", queue="elsewhere")(lambda: None)

    @app.command("fail", retries=1, backoff=Constant(timedelta(0)))
    def fail() -> None:
        raise ValueError("no")

    @fail.on_recover
    def recover() -> Next:

        return Next(Spec("leaf"))

    hand = work(queues=["fail"])
    finished(fail.enqueue())
    hand.stop()

    assert [(one.outcome, len(one.children)) for one in settlements] == [("failed", 0), ("failed", 1)]
