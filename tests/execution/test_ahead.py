"""Claiming ahead: quick commands wait in the worker for a moment, and none waits there behind slow ones."""

import gc
import threading
from datetime import timedelta
from random import Random

import pytest
from factories import LEASE
from staging import wait_until

from durex_core import Spec
from durex_core.collector import calm_collector
from durex_core.execution.runner import Runner
from durex_core.execution.writer import Writer
from durex_core.model import State
from durex_core.rules.outcomes import Released
from durex_core.store import commands

MANY = 1500


@pytest.fixture
def release():
    """What slow handlers wait for."""
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture
def runner(app, database):
    """A runner that runs one attempt at a time, with the settlements that it told of."""
    writer = Writer(database, lease=LEASE)
    settled = []
    made = Runner(app.registry, writer, concurrency=1, on_settled=settled.extend, random=Random(1))
    made.told = settled
    yield made
    made.release("the test is over")
    assert made.wait_until_idle(20)
    made.close()


def claimed(database, name, count):
    with database.autocommit() as connection:
        return commands.claim(connection, [name], limit=count, lease=LEASE, worker="test").commands


def test_quick_commands_are_claimed_many_at_a_time(app, work, stage, monkeypatch):
    claims = []
    claim = commands.claim

    def counted(*given, **options):
        claims.append(options["limit"])
        return claim(*given, **options)

    monkeypatch.setattr(commands, "claim", counted)
    app.command("quick")(lambda: None)
    app.enqueue_many([Spec("quick")] * MANY)
    work(concurrency=2)

    wait_until(lambda: stage.count("finished_commands") == MANY)
    assert stage.run("SELECT max(attempt), max(lease_number) FROM finished_commands") == [(1, 1)]
    # Two at a time would have been 750.
    assert len(claims) < MANY / 5


def test_of_slow_commands_only_those_are_claimed_that_run(app, work, stage, release):
    app.command("slow")(lambda: release.wait(20))
    app.enqueue_many([Spec("slow")] * 20)
    work(concurrency=2)

    wait_until(lambda: stage.run("SELECT count(*) FROM commands WHERE state = 'started'") == [(2,)])
    app.enqueue("slow")  # the worker looks again
    assert not threading.Event().wait(0.3)
    assert stage.run("SELECT count(*) FROM commands WHERE state = 'started'") == [(2,)]


def test_what_was_claimed_ahead_of_quick_commands_is_given_back_when_they_turn_slow(app, work, stage, release):
    ran = []

    @app.command("turning")
    def turning(number: int) -> None:
        ran.append(number)
        if len(ran) > MANY / 2:
            release.wait(20)

    app.enqueue_many([Spec("turning", number) for number in range(MANY)])
    work(concurrency=2)

    wait_until(lambda: stage.count("finished_commands") >= MANY / 2 - 2)
    wait_until(lambda: stage.run("SELECT count(*) FROM commands WHERE state = 'started'") == [(2,)])
    # What was given back is no pace: it is not claimed ahead again.
    app.enqueue("turning", MANY)
    assert not threading.Event().wait(0.5)
    assert stage.run("SELECT count(*) FROM commands WHERE state = 'started'") == [(2,)]
    release.set()
    wait_until(lambda: stage.count("finished_commands") == MANY + 1)
    # None of them was counted as an attempt, and none ran twice.
    assert stage.run("SELECT max(attempt) FROM finished_commands") == [(1,)]
    assert sorted(ran) == list(range(MANY + 1))


def test_a_command_in_line_whose_lease_is_lost_never_runs(app, database, runner, release):
    ran = []

    @app.command("wait")
    def wait(number: int) -> None:
        ran.append(number)
        release.wait(20)

    app.enqueue_many([Spec("wait", number) for number in range(3)])
    runner.start(claimed(database, "wait", 3))
    wait_until(lambda: ran)
    second = next(running for running in runner.running if running.command.payload == 1)
    app.cancel(second.command.id)
    runner.abandon(second)
    release.set()

    assert runner.wait_until_idle(20)
    assert ran == [0, 2]
    assert {settlement.command.payload: written.held for settlement, written in runner.told} == {
        0: True,
        1: False,
        2: True,
    }


def test_what_has_not_begun_can_be_given_back_alone(app, database, runner, release):
    @app.command("wait")
    def wait(number: int) -> int:
        release.wait(20)
        return number

    enqueued = app.enqueue_many([Spec("wait", number) for number in range(3)])
    runner.start(claimed(database, "wait", 3))
    wait_until(lambda: runner.waiting_seconds is not None)
    wait_until(lambda: sum(running.began_at_seconds is None for running in runner.running) == 2)
    runner.release("others may be free", only_waiting=True)
    wait_until(lambda: runner.unsettled == 1)

    assert runner.waiting_seconds is None
    assert [app.get(one.id).state for one in enqueued] == [State.STARTED, State.PENDING, State.PENDING]
    assert [app.get(one.id).attempt for one in enqueued] == [1, 0, 0]
    release.set()


def test_a_command_whose_deadline_passes_in_line_never_runs(app, database, runner, release):
    ran = []

    @app.command("wait")
    def wait(number: int) -> None:
        ran.append(number)
        release.wait(20)

    app.enqueue_many([Spec("wait", 0, priority=1), Spec("wait", 1, deadline=timedelta(milliseconds=300))])
    runner.start(claimed(database, "wait", 2))
    wait_until(lambda: ran)
    assert not threading.Event().wait(0.4)
    release.set()

    assert runner.wait_until_idle(20)
    assert ran == [0]
    assert [settlement.outcome for settlement, _ in runner.told] == ["completed", "expired"]


def test_what_begins_at_the_moment_at_which_it_would_be_given_back_goes_on(app, database, runner, release):
    app.command("wait")(lambda: release.wait(20))
    app.enqueue_many([Spec("wait")] * 2)
    runner.start(claimed(database, "wait", 2))
    wait_until(lambda: sum(running.turn.has_begun for running in runner.running) == 1)
    second = next(running for running in runner.running if not running.turn.has_begun)
    turn, turns = second.turn, runner._turns

    # It is looked at, found waiting, and begins before anything is done about it.
    with turns.lock:
        giver = threading.Thread(target=turns.withdraw, args=(turn, Released("others may be free")))
        giver.start()
        turns._line._size = 2
        assert turns._line.take() is turn
    giver.join()
    assert not turn.has_ended
    threading.Thread(target=turn.work).start()
    release.set()
    assert runner.wait_until_idle(20)
    assert [settlement.outcome for settlement, _ in runner.told] == ["completed", "completed"]


def test_the_collector_is_calm_as_long_as_a_worker_runs():
    before = gc.get_threshold()
    with calm_collector():
        calm = gc.get_threshold()
        with calm_collector():
            assert gc.get_threshold() == calm
        assert gc.get_threshold() == calm > before
    assert gc.get_threshold() == before


def test_a_collector_that_somebody_set_or_stopped_is_left_alone():
    before = gc.get_threshold()
    try:
        for own in ((0, 0, 0), (50_000, 10, 10)):
            gc.set_threshold(*own)
            with calm_collector():
                assert gc.get_threshold() == own
            assert gc.get_threshold() == own
    finally:
        gc.set_threshold(*before)
