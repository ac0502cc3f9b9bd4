"""What is ready runs when the test says so, and what is due later runs in order, each command at its own moment."""

import threading
from datetime import timedelta
from itertools import pairwise

import pytest
from factories import START

from durex_core import AsyncContext, Context, Spec
from durex_core.backoff import Constant, Exponential, Jittered
from durex_core.errors import DurexError
from durex_core.model import State
from durex_core.results import Next, Spawn
from durex_core.testing import ClockError, EndlessLoop, Harness, HarnessBusy, StillRunning

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def log(app, harness):
    """Notes who ran when; `note` is a command that does so."""
    noted = []

    @app.command("note")
    def note(who: str) -> None:
        noted.append((who, harness.now - START))

    return noted


def test_nothing_runs_before_the_test_says_so(app, harness, log):
    app.enqueue("note", "a")

    assert log == []
    assert harness.run_until_idle() == 1
    assert log == [("a", timedelta(0))]
    assert harness.run_until_idle() == 0


def test_what_follows_at_the_same_moment_runs_too(app, harness, log):
    @app.command("split")
    def split(depth: int):
        app.enqueue("note", f"enqueued by {depth}")
        return Spawn(*[split.spec(depth - 1)] * 2) if depth else None

    split.enqueue(2)

    assert harness.run_until_idle() == 14
    assert sorted(who for who, _ in log) == ["enqueued by 0"] * 4 + ["enqueued by 1"] * 2 + ["enqueued by 2"]


def test_one_attempt_at_a_time_the_most_urgent_first(app, harness, log):
    app.enqueue("note", "later", priority=1)
    app.enqueue("note", "first", priority=2)

    command = harness.run_one()
    assert (command.payload, command.state) == ("first", State.COMPLETED)
    assert [who for who, _ in log] == ["first"]
    assert harness.run_one().payload == "later"
    assert harness.run_one() is None


def test_due_work_is_weighed_by_priority_with_what_is_ready(app, harness, log):
    app.enqueue("note", "due first", delay=HOUR)
    app.enqueue("note", "urgent", priority=5, delay=2 * HOUR)
    harness.clock.advance(3 * HOUR)
    app.enqueue("note", "ready", priority=3)

    harness.run_until_idle()

    assert [who for who, _ in log] == ["urgent", "ready", "due first"]


def test_what_is_due_runs_in_order_each_at_its_own_moment(app, harness, log):
    app.enqueue("note", "third", delay=2 * HOUR + SECOND)
    app.enqueue("note", "second", delay=2 * HOUR)
    app.enqueue("note", "too late", delay=3 * HOUR + timedelta(microseconds=1))
    app.enqueue("note", "fourth", delay=3 * HOUR)
    app.enqueue("note", "first", delay=HOUR)
    app.enqueue("note", "ready")

    assert harness.advance(3 * HOUR) == 5
    assert log == [
        ("ready", timedelta(0)),
        ("first", HOUR),
        ("second", 2 * HOUR),
        ("third", 2 * HOUR + SECOND),
        ("fourth", 3 * HOUR),
    ]
    assert harness.now == START + 3 * HOUR
    assert harness.advance(timedelta(microseconds=1)) == 1


def test_what_a_due_command_enqueues_takes_its_place_in_the_order(app, harness, log):
    @app.command("begin")
    def begin():
        app.enqueue("note", "between", delay=HOUR / 2)
        return Next(Spec("note", "at once"))

    begin.enqueue(delay=HOUR)
    app.enqueue("note", "last", delay=2 * HOUR)
    harness.advance(3 * HOUR)

    assert log == [("at once", HOUR), ("between", HOUR * 1.5), ("last", 2 * HOUR)]


def test_retries_are_seen_with_their_backoff(app, harness):
    moments = []

    @app.command("charge", retries=5, backoff=Exponential(SECOND))
    def charge():
        moments.append(harness.now)
        raise ConnectionError("try later")

    charge.enqueue()
    harness.advance(timedelta(days=1))

    assert [later - earlier for earlier, later in pairwise(moments)] == [n * SECOND for n in (1, 2, 4, 8, 16)]
    (failure,) = harness.failures
    assert (failure.attempt, failure.error.message) == (6, "try later")


def test_a_retry_is_not_seen_before_its_time(app, harness):
    @app.command("charge", retries=1, backoff=Constant(HOUR))
    def charge(ctx: Context):
        if ctx.attempt == 1:
            raise ConnectionError
        return "charged"

    charge.enqueue()
    harness.advance(HOUR - SECOND)
    assert harness.commands(charge)[0].state is State.SCHEDULED
    harness.advance(SECOND)
    assert harness.commands(charge)[0].result == "charged"


def test_jitter_is_the_same_in_every_run(app, throwaway_url):
    @app.command("charge", retries=4, backoff=Jittered(Constant(HOUR)))
    def charge():
        raise ConnectionError

    def moments(**options):
        with Harness(app, start=START, database=throwaway_url, **options) as harness:
            charge.enqueue()
            harness.advance(timedelta(days=1))
            return [past.started_at for past in harness.commands()[0].history]

    assert moments() == moments()
    assert moments(seed=1) != moments()


def test_a_repetition_with_a_delay_is_quick_and_ends_at_the_target(app, harness):
    @app.command("tick")
    def tick():
        return Next(tick.spec(delay=10 * MINUTE))

    tick.enqueue()

    assert harness.advance(timedelta(days=1)) == 145
    assert harness.now == START + timedelta(days=1)


@pytest.mark.usefixtures("log")
def test_a_loop_at_one_moment_is_found_and_named(app, harness):
    @app.command("ping")
    def ping():
        return Next(ping.spec())

    ping.enqueue()
    app.enqueue("note", "once")

    with pytest.raises(EndlessLoop, match=r"more than 50 attempts ran, most of them of 'ping' \(50 of 51\)") as raised:
        harness.run_until_idle(limit=50)
    assert raised.value.attempts == {"ping": 50, "note": 1}
    with pytest.raises(EndlessLoop, match="pass a higher limit="):
        harness.advance(HOUR, limit=50)
    assert harness.now == START


def test_retries_without_backoff_are_no_loop(app, harness):
    @app.command("doomed", retries=20)
    def doomed():
        raise ValueError

    doomed.enqueue()

    assert harness.run_until_idle(limit=21) == 21


def test_sync_and_async_handlers_run_side_by_side_if_asked_to(app, throwaway_url):
    both = threading.Barrier(2, timeout=20)

    @app.command("sync")
    def sync(ctx: Context) -> str:
        both.wait()
        return ctx.name

    @app.command("coroutine")
    async def coroutine(ctx: AsyncContext) -> str:
        both.wait()
        return ctx.name

    with Harness(app, database=throwaway_url, concurrency=2) as harness:
        sync.enqueue()
        coroutine.enqueue()
        assert harness.run_until_idle() == 2
        assert {command.result for command in harness.commands()} == {"sync", "coroutine"}


def test_only_the_test_moves_time_and_runs_commands(app, harness):
    @app.command("meddle", dead_letter=False)
    def meddle(how: str):
        {"advance": lambda: harness.advance(HOUR), "run": harness.run_until_idle, "one": harness.run_one}[how]()

    for how in ("advance", "run", "one"):
        meddle.enqueue(how)
    harness.run_until_idle()

    assert [failure.error.type.split(".")[-1] for failure in harness.failures] == [HarnessBusy.__name__] * 3


def test_time_does_not_go_back(harness):
    with pytest.raises(ClockError, match="never goes back"):
        harness.advance(-SECOND)


def test_a_handler_may_move_the_clock_past_the_target(app, harness):
    @app.command("slow")
    def slow():
        harness.clock.advance(SECOND * 20)

    slow.enqueue()
    harness.advance(SECOND)

    assert harness.now == START + SECOND * 20


def test_a_handler_that_does_not_end_is_named(app):
    go = threading.Event()

    @app.command("stuck")
    def stuck():
        go.wait(20)

    with Harness(app, patience=timedelta(milliseconds=50)) as harness:
        stuck.enqueue()
        with pytest.raises(StillRunning, match="stuck did not end within"):
            harness.run_until_idle()
    go.set()


def test_a_harness_works_within_its_block_alone(app):
    harness = Harness(app)

    with pytest.raises(DurexError, match="with Harness"):
        harness.run_until_idle()
    with harness:
        assert harness.run_until_idle() == 0
    with pytest.raises(DurexError, match="with Harness"):
        harness.advance(HOUR)
    with harness:
        assert harness.advance(HOUR) == 0
