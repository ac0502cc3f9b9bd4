"""Threads of handlers: never more than wanted, replaced when stuck, and gone when the worker is."""

import asyncio
import threading
from collections import deque
from datetime import timedelta
from random import Random

import pytest
from factories import LEASE, claimed_command, error_info
from staging import wait_until

from durex_core.clock import monotonic_seconds
from durex_core.execution.runner import Runner
from durex_core.execution.threads import Task, Threads
from durex_core.execution.turns import Turn, Turns
from durex_core.execution.watch import Watch
from durex_core.execution.writer import Writer
from durex_core.rules.outcomes import Failed, Released, Returned
from durex_core.store import commands


def alive(name="durex-"):
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


class Work(Task):
    """A task that calls a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.is_taken = False

    def work(self):
        """Call it."""
        self.is_taken = True
        self.function()


class Pool(Threads):
    """Threads that take functions from a line in which all may begin at once."""

    def __init__(self, size, watch):
        self.lock = threading.Lock()
        self.tasks = deque()
        super().__init__(size, self, self.lock, watch)

    @property
    def ready(self):
        """All of them."""
        return len(self.tasks)

    def take(self):
        """Hand out the first."""
        return self.tasks.popleft() if self.tasks else None

    def run(self, function):
        """Let a thread call a function."""
        task = Work(function)
        with self.lock:
            self.tasks.append(task)
            self.call()
        return task


@pytest.fixture
def threads():
    """A pool of three threads."""
    watch = Watch()
    made = Pool(3, watch)
    yield made
    watch.close()
    made.close()
    wait_until(lambda: not alive("durex-handler"))


def test_no_thread_is_started_before_there_is_work(threads):
    assert threads.stuck == 0
    assert alive("durex-handler") == []


def test_one_task_at_a_time_needs_one_thread(threads):
    for _ in range(20):
        done = threading.Event()
        threads.run(done.set)
        assert done.wait(5)
        wait_until(lambda: threads._at_work == 0)
    assert len(alive("durex-handler")) == 1


def test_there_are_never_more_threads_than_the_size(threads):
    lock = threading.Lock()
    left = threading.Semaphore(0)
    now = most = 0

    def work():
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.005)
        with lock:
            now -= 1
        left.release()

    for _ in range(40):
        threads.run(work)
    assert all(left.acquire(timeout=5) for _ in range(40))
    assert most == 3
    assert len(alive("durex-handler")) == 3


def test_another_thread_joins_in_only_if_nothing_was_taken_and_the_look_is_in_time():
    """Where tasks are taken, or the look comes late, threads compute: more of them would take turns with those."""
    watch = Watch()
    watch.close()  # it does not look by itself
    threads = Pool(8, watch)
    release = threading.Event()
    tasks = [threads.run(lambda: release.wait(20)) for _ in range(8)]
    wait_until(lambda: tasks[0].is_taken)

    usher = threads._usher
    usher.taken -= 1
    threads.look(usher)
    assert threads._at_work == 1
    late = threads._usher
    late.ends_at_seconds -= 1
    threads.look(late)
    assert threads._at_work == 1
    for at_work in (2, 4, 8):
        wait_until(lambda now=threads._at_work: threads._taken == now)
        threads._usher.taken = threads._taken
        threads._usher.ends_at_seconds = monotonic_seconds()
        threads.look(threads._usher)
        assert threads._at_work == at_work

    release.set()
    wait_until(lambda: threads._at_work == 0)
    threads.close()
    wait_until(lambda: not alive("durex-handler"))


def test_threads_that_wait_are_joined_by_others_at_once(threads):
    together = threading.Barrier(3)
    for _ in range(3):
        threads.run(lambda: together.wait(5))
    wait_until(lambda: threads._at_work == 0)
    assert len(alive("durex-handler")) == 3
    assert not together.broken


class FunctionTurn(Turn):
    """A turn that calls a function."""

    def __init__(self, turns, function):
        super().__init__(turns, is_async=False)
        self.call = function
        self.outcome = None

    def opened(self):
        """Have no limit."""

    def sort(self, value):
        """Read nothing into it."""
        return Returned(value)

    def failed(self, error):
        """Name it."""
        return Released(repr(error))

    def conclude(self, outcome):
        """Remember it."""
        self.outcome = outcome


def test_a_turn_that_was_stopped_in_line_is_not_called_and_takes_no_thread():
    release, done = threading.Event(), threading.Event()
    turns = Turns(1)
    first, stopped, last = (FunctionTurn(turns, call) for call in (lambda: release.wait(20), done.set, lambda: 3))
    turns.begin([first, stopped, last])
    wait_until(lambda: first.has_begun)
    turns.stop(stopped, Released("nobody wants it"))
    assert (stopped.outcome, stopped.has_begun) == (Released("nobody wants it"), False)
    release.set()

    wait_until(lambda: last.outcome == Returned(3))
    assert (done.is_set(), turns.stuck, len(alive("durex-handler"))) == (False, 0, 1)
    turns.close()
    wait_until(lambda: not alive("durex-handler"))


def test_a_turn_that_was_stopped_when_a_thread_had_just_taken_it_is_not_called():
    turns = Turns(1)
    called = []
    turn = FunctionTurn(turns, lambda: called.append(1))
    turns._line.join([turn], 0.0, is_urgent=False)
    with turns.lock:
        assert turns._line.take() is turn
    turns.stop(turn, Released("nobody wants it"))
    turn.work()
    assert (called, turn.outcome) == ([], Released("nobody wants it"))
    turns.close()


def test_turns_of_threads_and_of_the_loop_begin_in_the_order_of_the_line():
    release, released = threading.Event(), asyncio.Event()
    began = []
    turns = Turns(2)

    def plain(name):
        return FunctionTurn(turns, lambda: (began.append(name), release.wait(20)))

    def coroutine(name):
        async def call():
            began.append(name)
            await released.wait()

        turn = FunctionTurn(turns, call)
        turn.is_async = True
        return turn

    all_turns = [coroutine("a"), plain("b"), coroutine("c"), plain("d"), plain("e"), coroutine("f")]
    turns.begin(all_turns)
    wait_until(lambda: len(began) == 2)
    assert sorted(began) == ["a", "b"]
    release.set()
    turns.loop.call(released.set)
    wait_until(lambda: all(turn.outcome for turn in all_turns))
    assert (sorted(began), [turn.has_begun for turn in all_turns]) == (list("abcdef"), [True] * 6)
    turns.close()


def test_a_thread_that_is_at_work_while_they_are_closed_ends_after_it(threads):
    release = threading.Event()
    task = threads.run(lambda: release.wait(20))
    wait_until(lambda: task.is_taken)
    threads.close()
    assert len(alive("durex-handler")) == 1
    release.set()
    wait_until(lambda: not alive("durex-handler"))


def test_a_thread_that_was_given_up_is_replaced_and_ends_with_its_task(threads):
    release = threading.Event()
    for _ in range(3):
        stuck = threads.run(lambda: release.wait(20))
        wait_until(lambda task=stuck: task.is_taken)
        threads.give_up(stuck)
    assert threads.stuck == 3

    together = threading.Barrier(4)
    for _ in range(3):
        threads.run(lambda: together.wait(5))
    together.wait(5)
    assert len(alive("durex-handler")) == 6
    release.set()
    wait_until(lambda: threads.stuck == 0)
    wait_until(lambda: len(alive("durex-handler")) == 3)


def test_to_give_up_a_task_that_is_over_or_given_up_changes_nothing(threads):
    done = threading.Event()
    over = threads.run(done.set)
    assert done.wait(5)
    wait_until(lambda: over.is_over)
    release = threading.Event()
    stuck = threads.run(lambda: release.wait(20))
    wait_until(lambda: stuck.is_taken)
    for _ in range(3):
        threads.give_up(over)
        threads.give_up(stuck)

    assert threads.stuck == 1
    again = threading.Event()
    threads.run(again.set)
    assert again.wait(5)
    release.set()


def test_a_timer_that_fires_when_its_attempt_has_just_ended_gives_up_no_thread(app, database):
    release = threading.Event()

    @app.command("wait")
    def wait() -> None:
        release.wait(20)

    writer = Writer(database, lease=LEASE)
    runner = Runner(app.registry, writer, concurrency=1, on_settled=lambda *_: None, random=Random(1))
    runner.start([claimed_command(name="wait", queue="wait")])
    (running,) = runner.running
    turn, turns = running.turn, runner._turns
    wait_until(lambda: turn.has_begun)
    assert turns.is_first_end(turn)

    turns.stop(turn, Failed(error_info(), how="timed_out"))
    release.set()
    wait_until(lambda: turn.is_over)
    assert (runner.stuck, len(alive("durex-handler"))) == (0, 1)
    runner.close()
    writer.close()


def test_an_attempt_that_times_out_and_returns_later_is_settled_once(app, database):
    release = threading.Event()
    settled = []

    @app.command("wait", timeout=timedelta(milliseconds=50))
    def wait() -> None:
        release.wait(20)

    enqueued = wait.enqueue()
    writer = Writer(database, lease=LEASE)
    runner = Runner(app.registry, writer, concurrency=1, on_settled=settled.extend, random=Random(1))
    with database.autocommit() as connection:
        (claimed,) = commands.claim(connection, ["wait"], limit=1, lease=LEASE, worker="test").commands
    runner.start([claimed])
    assert runner.wait_until_idle(10)
    release.set()
    wait_until(lambda: runner.stuck == 0)
    writer.close()
    runner.close()

    assert [(settlement.command.id, settlement.outcome, written.held) for settlement, written in settled] == [
        (enqueued.id, "timed_out", True)
    ]


@pytest.mark.parametrize("is_stuck", [False, True], ids=["idle", "after a stuck handler"])
def test_a_stopped_worker_leaves_no_thread_behind(app, work, finished, is_stuck):
    release = threading.Event()

    @app.command("sync", timeout=timedelta(milliseconds=100))
    def sync() -> None:
        if is_stuck:
            release.wait(20)

    @app.command("async")
    async def asynchronous() -> None: ...

    before = set(threading.enumerate())
    hand = work()
    for one in [sync.enqueue() for _ in range(5)] + [asynchronous.enqueue()]:
        finished(one)
    hand.stop()
    release.set()

    wait_until(lambda: not [thread for thread in alive() if thread not in before])
