"""Limits: never more attempts of a name, or of all names together, than the application allows in this process."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import Spec
from durex_core.model import State

MANY = 12


class Gate:
    """Where handlers meet: counts who is inside at once, and lets nobody out before the test says so."""

    def __init__(self):
        self.inside = Counter()
        self.most = Counter()
        self._changed = threading.Condition()
        self._passes = 0

    def enter(self, name):
        with self._changed:
            self.inside[name] += 1
            self.most[name] = max(self.most[name], self.inside[name])
            self.most["in all"] = max(self.most["in all"], self.inside.total())
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._passes, 20)
            self._passes -= 1
            self.inside[name] -= 1

    def open_for(self, count):
        with self._changed:
            self._passes += count
            self._changed.notify_all()


@pytest.fixture
def gate():
    """A gate that is open for everybody when the test is over."""
    made = Gate()
    yield made
    made.open_for(1000)


def limited(app, gate, *names, **options):
    for name in names:
        app.command(name, **options)(lambda ctx: gate.enter(ctx.name))


def test_never_more_of_a_name_run_than_its_limit(make_app, gate, work, stage):
    app = make_app(limits={"call": 2})
    limited(app, gate, "call")
    app.enqueue_many([Spec("call")] * MANY)
    work(app, concurrency=8)

    for done in range(MANY):
        wait_until(lambda left=MANY - done: gate.inside["call"] == min(2, left))
        gate.open_for(1)
    wait_until(lambda: stage.count("finished_commands") == MANY)
    assert gate.most["call"] == 2
    assert app.limiter.global_current == 0


def test_a_queue_of_its_own_is_claimed_no_faster_than_there_is_room(make_app, gate, work, stage):
    app = make_app(limits={"call": 3})
    limited(app, gate, "call")
    app.enqueue_many([Spec("call")] * MANY)
    work(app, concurrency=8)
    wait_until(lambda: gate.inside["call"] == 3)

    assert stage.run("SELECT count(*) FROM commands WHERE state = 'started'") == [(3,)]
    gate.open_for(MANY)
    wait_until(lambda: stage.count("finished_commands") == MANY)
    # Nothing was claimed in vain.
    assert stage.run("SELECT max(lease_number), max(attempt) FROM finished_commands") == [(1, 1)]


def test_a_name_that_is_full_keeps_no_other_queue_from_running(make_app, gate, work, finished):
    app = make_app(limits={"call": 1})
    limited(app, gate, "call")

    @app.command("greet")
    def greet() -> str:
        return "hello"

    app.enqueue_many([Spec("call", priority=9)] * MANY)
    work(app, concurrency=4)
    wait_until(lambda: gate.inside["call"] == 1)

    assert [finished(greet.enqueue()).result for _ in range(5)] == ["hello"] * 5
    assert gate.most["call"] == 1


def test_what_shares_its_queue_with_others_is_put_back_for_a_moment_and_not_counted(make_app, gate, work, stage):
    app = make_app(limits={"call": 1})
    limited(app, gate, "call", queue="shared")

    @app.command("greet", queue="shared")
    def greet() -> str:
        return "hello"

    app.enqueue_many([Spec("call"), Spec("call"), Spec("greet")])
    work(app, concurrency=4)
    wait_until(lambda: stage.finished("greet") and gate.inside["call"] == 1)
    ((command_id,),) = wait_until(lambda: stage.run("SELECT id FROM commands WHERE state = 'scheduled'"))

    command = app.get(command_id)
    assert (command.attempt, command.history[-1].outcome) == (0, "released")
    assert command.history[-1].error.message == "the limit of this process was reached"
    assert command.ready_at - command.history[-1].ended_at == timedelta(seconds=1)
    gate.open_for(2)
    wait_until(lambda: len(stage.finished("call")) == 2)
    assert app.get(command_id).attempt == 1
    assert gate.most["call"] == 1


def test_no_more_run_in_all_than_the_global_limit(make_app, gate, work, stage):
    app = make_app(global_limit=3, limits={"b": 1})
    limited(app, gate, "a", "b", "c")
    app.enqueue_many([Spec(name) for name in "abc" for _ in range(4)])
    work(app, concurrency=8)
    wait_until(lambda: gate.inside.total() == 3)

    for done in range(MANY):
        wait_until(lambda left=MANY - done: gate.inside.total() >= min(1, left))
        gate.open_for(1)
    wait_until(lambda: stage.count("finished_commands") == MANY)
    assert gate.most["in all"] == 3
    assert gate.most["b"] <= 1


def test_a_limit_that_is_raised_while_the_worker_runs_lets_more_run(make_app, gate, work):
    app = make_app(limits={"call": 1})
    limited(app, gate, "call")
    app.enqueue_many([Spec("call")] * 4)
    work(app, concurrency=8)
    wait_until(lambda: gate.inside["call"] == 1)

    app.limiter.set_limit("call", 3)
    wait_until(lambda: gate.inside["call"] == 3, timeout_seconds=5)
    app.limiter.set_limit("call", 0)
    wait_until(lambda: gate.inside["call"] == 4, timeout_seconds=5)


def test_a_limit_that_is_lowered_stops_nothing_that_runs(make_app, gate, work, stage):
    app = make_app()
    limited(app, gate, "call")
    app.enqueue_many([Spec("call")] * 6)
    work(app, concurrency=3)
    wait_until(lambda: gate.inside["call"] == 3)

    app.limiter.set_limit("call", 1)
    gate.open_for(2)
    wait_until(lambda: len(stage.finished("call")) == 2)
    assert gate.inside["call"] == 1
    gate.open_for(4)
    wait_until(lambda: len(stage.finished("call")) == 6)


@pytest.mark.parametrize("kind", ["fails", "times out", "is given back", "runs its hook"])
def test_the_slot_of_an_attempt_is_free_again_however_it_ends(make_app, work, kind):
    app = make_app(limits={"call": 1})
    release, began = threading.Event(), threading.Event()

    @app.command("call", timeout=timedelta(milliseconds=100) if kind == "times out" else None)
    def call() -> None:
        began.set()
        if kind == "fails":
            raise ValueError("no")
        if kind == "runs its hook":
            raise SystemExit
        release.wait(20)

    call.on_recover(lambda: release.wait(0))
    hand = work(app, grace=timedelta(0))
    enqueued = call.enqueue()
    assert began.wait(10)
    if kind == "is given back":
        hand.stop()
    else:
        wait_until(lambda: app.get(enqueued.id).state.is_terminal)

    wait_until(lambda: app.limiter.current("call") == 0)
    assert app.get(enqueued.id).state is (State.PENDING if kind == "is given back" else State.DEAD_LETTER)
    release.set()


def test_workers_of_one_application_share_its_limits(make_app, gate, work, stage):
    app = make_app(limits={"call": 2})
    limited(app, gate, "call")
    for _ in range(3):
        work(app, concurrency=2)
    app.enqueue_many([Spec("call")] * MANY)
    wait_until(lambda: gate.inside["call"] == 2)
    gate.open_for(MANY)

    wait_until(lambda: stage.count("finished_commands") == MANY)
    assert gate.most["call"] == 2


def test_a_worker_whose_limits_are_reached_does_not_ask_the_database_again_and_again(make_app, gate, work, stage):
    app = make_app(limits={"call": 1})
    limited(app, gate, "call")
    waits = []
    worker = work(app, concurrency=4).worker
    turn = worker._turn
    worker._turn = lambda runner: waits.append(turn(runner)) or waits[-1]
    app.enqueue_many([Spec("call")] * 4)
    wait_until(lambda: gate.inside["call"] == 1)

    # There is work that is due, and no room for it: the next look is a second away, or a ring.
    wait_until(lambda: waits[-1:] == [1])
    gate.open_for(4)
    wait_until(lambda: stage.count("finished_commands") == 4)
