"""The worker function and what commands lead to: joins, hooks and limits, with a wake for whoever needs one."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from invocations import Invocation, Recorder, failed, sqs_event, wake
from staging import wait_until

from durex_core import AsyncContext, Context, Durex, Spec
from durex_core.errors import LeaseLost
from durex_core.model import State
from durex_core.results import Next, Repeat, SpawnThen
from durex_core.rules.wakes import Due
from durex_core.serverless.worker import WorkerFunction


@pytest.fixture
def shop(postgres_url):
    """An application without commands on a fresh Postgres."""
    made = Durex(postgres_url)
    yield made
    made.close()


class Lambda:
    """Worker functions of an application, one for each queue, and the wakes that they sent."""

    def __init__(self, app):
        self.recorder = Recorder()
        self._app = app
        self._made = []

    def make(self, queue, **options):
        """Build one, as a new execution environment does."""
        made = WorkerFunction(
            self._app.database,
            self._app.registry,
            self.recorder,
            queue=queue,
            reject=lambda body: True,  # noqa: ARG005
            surroundings=self._app.surroundings,
            lease_margin=timedelta(seconds=5),
            **options,
        )
        self._made.append(made)
        return made

    def invoke(self, queue, *, seconds=20, **options):
        """Run one invocation in a new environment; return the queues that it woke, and how many seconds from then.

        Each had its promise before the commit; the bell rang for those that are ready, and no other.
        """
        self.recorder.forget()
        answer = self.make(queue, **options).invoke(sqs_event(wake(queue)), Invocation(seconds))
        assert failed(answer) == []
        woken = [(name, due.delay.total_seconds()) for name, due in self.recorder.promised]
        assert {name for name, _ in self.recorder.rung} == {name for name, delay in woken if delay == 0}
        return woken

    def close(self):
        for made in self._made:
            made.close()


@pytest.fixture
def function(shop):
    """Worker functions of the shop."""
    made = Lambda(shop)
    yield made
    made.close()


def joined(shop, count):
    """Register commands of three queues: a parent, its parts and what waits for them."""

    @shop.command("parent")
    def parent() -> SpawnThen:
        return SpawnThen([Spec("part", number) for number in range(count)], Spec("then"))

    @shop.command("part")
    def part(number: int) -> int:
        return number

    @shop.command("then")
    def then(ctx: Context) -> list:
        return [child.result for child in ctx.children]

    return parent


def test_the_last_part_of_a_join_wakes_what_waited_and_no_other_does(shop, function, stage):
    joined(shop, 3).enqueue()

    assert function.invoke("parent") == [("part", 0.0)]
    assert ("then", 0.0) in function.invoke("part")
    assert function.invoke("then") == []
    (then,) = stage.finished("then")
    assert shop.get(then).result == [0, 1, 2]


def test_a_part_that_is_not_the_last_wakes_nobody(shop, function, stage):
    @shop.command("slow", queue="slow")
    def slow() -> None: ...

    shop.command("then", queue="then")(lambda: None)
    shop.command("part", queue="part")(lambda: None)
    shop.command("parent")(lambda: SpawnThen([Spec("part"), Spec("slow")], Spec("then")))
    shop.enqueue("parent")

    assert sorted(function.invoke("parent")) == [("part", 0.0), ("slow", 0.0)]
    assert function.invoke("part") == []
    assert function.invoke("slow") == [("then", 0.0)]
    assert stage.run("SELECT state FROM commands") == [("pending",)]


def test_a_join_without_parts_wakes_what_would_have_waited(shop, function):
    joined(shop, 0).enqueue()

    assert function.invoke("parent") == [("then", 0.0)]


def test_the_next_run_and_what_a_hook_asks_for_have_wakes_of_their_own(shop, function):
    shop.command("leaf", queue="leaves")(lambda: None)

    @shop.command("poll", queue="work")
    def poll() -> Repeat:
        return Repeat(delay=timedelta(seconds=40))

    @shop.command("fail", queue="work", on_recover=lambda: Next(Spec("leaf", delay=timedelta(seconds=20))))
    def fail() -> None:
        raise ValueError("no")

    poll.enqueue()
    fail.enqueue()

    assert sorted(function.invoke("work")) == [("leaves", 20.0), ("work", 40.0)]


def test_a_hook_that_fails_has_a_wake_for_its_next_try(shop, function):
    @shop.command("fail", on_recover=lambda: 1 / 0)
    def fail() -> None:
        raise ValueError("no")

    id_ = fail.enqueue().id

    assert function.invoke("fail") == [("fail", 1.0)]
    assert (shop.get(id_).state, shop.get(id_).attempt) == (State.SCHEDULED, 1)


def test_an_ending_whose_handler_is_not_known_is_put_back_for_an_environment_that_knows_it(shop, function, stage):
    shop.command("pay", queue="shared")(lambda: None)
    id_ = shop.enqueue("pay").id
    stage.start_elsewhere(id_, attempt=1, lease_seconds=-1)
    shop.unregister("pay")

    assert function.invoke("shared") == [("shared", 2.0)]
    command = shop.get(id_)
    assert (command.state, command.history[-1].hook_error.type) == (State.SCHEDULED, "HandlerMissing")

    recovered = []
    shop.command("pay", queue="shared", on_recover=lambda error: recovered.append(error.type))(lambda: None)
    stage.make_due()
    assert function.invoke("shared") == []
    assert (shop.get(id_).state, recovered) == (State.DEAD_LETTER, ["Crashed"])


def test_a_hook_for_which_no_time_is_left_is_left_to_the_next_invocation(shop, function):
    ran = []

    @shop.command("dawdle")
    async def dawdle() -> None:
        await asyncio.sleep(600)

    @dawdle.on_recover
    async def recover() -> None:
        await asyncio.sleep(0)
        ran.append("hook")
        if len(ran) == 1:
            await asyncio.sleep(600)

    id_ = dawdle.enqueue().id

    assert function.invoke("dawdle", seconds=4) == [("dawdle", 1.0)]
    command = shop.get(id_)
    assert (command.state, command.attempt) == (State.SCHEDULED, 1)
    assert (command.history[-1].outcome, command.history[-1].hook_error.type) == ("timed_out", "TimedOut")


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_are_claimed_than_the_limit_lets_run_and_the_rest_follows(shop, function, stage, limit):
    shop.limiter.set_limit("call", limit)
    lock, most, inside = threading.Lock(), [], []
    together = threading.Barrier(limit)

    @shop.command("call", timeout=timedelta(seconds=5))
    def call(ctx: Context) -> None:
        with lock:
            inside.append(ctx.id)
            most.append(len(inside))
        together.wait(10)
        with lock:
            inside.remove(ctx.id)

    shop.enqueue_many([Spec("call")] * 9)

    assert all(queue == "call" for queue, _ in function.invoke("call", concurrency=5))
    assert (max(most), len(stage.finished("call"))) == (limit, 9)
    assert stage.run("SELECT max(lease_number) FROM finished_commands") == [(1,)]


def test_what_shares_a_queue_with_others_and_may_not_run_yet_has_a_wake_in_a_second(shop, function, stage):
    shop.limiter.set_limit("call", 1)
    release = threading.Event()

    @shop.command("call", queue="shared")
    def call() -> None:
        release.wait(20)

    shop.command("greet", queue="shared")(lambda: None)
    shop.enqueue_many([Spec("call"), Spec("call"), Spec("greet")])
    made = function.make("shared")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(made.invoke, sqs_event(wake("shared")), Invocation(20))
        wait_until(lambda: ("shared", Due(timedelta(seconds=1))) in function.recorder.promised)
        release.set()
        assert failed(answer.result()) == []

    assert len(stage.finished("call")) == 1
    assert stage.run("SELECT state, attempt FROM commands") == [("scheduled", 0)]
    stage.make_due()
    assert function.invoke("shared") == []


def test_when_a_limit_leaves_no_room_at_all_the_wake_is_not_lost(shop, function, stage):
    shop.command("call")(lambda: None)
    shop.limiter.set_limit("call", 1)
    shop.enqueue_many([Spec("call")] * 2)

    with shop.limiter.holding("call"):
        sent = function.invoke("call", seconds=70)
    # The claim of the second one saw to the first one, too.
    ((queue, seconds),) = [each for each in sent if each != ("call", 1.0)]
    assert (queue, 0 < seconds < 1, sent.count(("call", 1.0))) == ("call", True, 2)
    assert stage.run("SELECT DISTINCT state, attempt FROM commands") == [("scheduled", 0)]


def test_middleware_and_observers_of_the_application_are_around_its_attempts(shop, function):
    seen = []

    async def watch(ctx, call_next):
        seen.append(f"before {ctx.name}")
        return {"wrapped": await call_next()}

    shop.use(watch)
    shop.on_error(lambda command, error: seen.append(f"{command.name}: {error.message}"))

    @shop.command("greet", queue="work")
    def greet() -> str:
        return "hello"

    @shop.command("fail", queue="work")
    def fail() -> None:
        raise ValueError("no")

    id_ = greet.enqueue().id
    fail.enqueue()
    function.invoke("work")

    assert shop.get(id_).result == {"wrapped": "hello"}
    assert sorted(seen) == ["before fail", "before greet", "fail: no"]


def test_a_handler_knows_how_long_its_invocation_lasts_and_a_heartbeat_shortens_no_lease(shop, function):
    @shop.command("measure")
    def measure(ctx: Context) -> list:
        before = shop.get(ctx.id).lease_expires_at
        ctx.heartbeat()
        ctx.report_progress("half")
        return [ctx.remaining_time.total_seconds(), shop.get(ctx.id).lease_expires_at == before]

    @shop.command("measure_async", queue="measure")
    async def measure_async(ctx: AsyncContext) -> float:
        await ctx.heartbeat()
        return ctx.remaining_time.total_seconds()

    plain, asynchronous = measure.enqueue().id, measure_async.enqueue(timeout=timedelta(seconds=5)).id
    function.invoke("measure", seconds=20)

    left, is_kept = shop.get(plain).result
    assert 15 < left <= 17
    assert is_kept
    assert shop.get(plain).progress == "half"
    assert 4 < shop.get(asynchronous).result <= 5


def test_a_cancelled_command_is_told_so_by_its_next_heartbeat_and_its_wake_comes_again(shop, function):
    heard = []

    @shop.command("wait")
    def wait(ctx: Context) -> str:
        shop.cancel(ctx.id)
        try:
            ctx.heartbeat()
        except LeaseLost:
            heard.append(ctx.is_cancelled)
        return "too late"

    id_ = wait.enqueue().id
    answer = function.make("wait").invoke(sqs_event(wake("wait")), Invocation(20))

    assert failed(answer) == ["m0"]
    assert (shop.get(id_).state, heard) == (State.CANCELLED, [True])


def test_a_stuck_handler_under_async_middleware_is_known_to_be_stuck(shop, function):
    release = threading.Event()

    async def around(ctx, call_next):  # noqa: ARG001
        return await call_next()

    shop.use(around)

    @shop.command("stick", timeout=timedelta(milliseconds=100))
    def stick() -> None:
        release.wait(20)

    stick.enqueue()
    made = function.make("stick")
    made._recycle_if_stuck = lambda: None
    made.invoke(sqs_event(wake("stick")), Invocation(20))

    assert made._is_stuck
    release.set()
    wait_until(lambda: not made._is_stuck)


def test_under_a_limit_no_more_is_claimed_than_may_run(shop, function, stage):
    runs = []

    @shop.command("call")
    def call() -> None:
        runs.append(stage.run("SELECT count(*) FROM commands WHERE state = 'started'")[0][0])

    shop.limiter.set_limit("call", 2)
    ids = [done.id for done in shop.enqueue_many([Spec("call")] * 12)]

    function.invoke("call", seconds=200)

    assert max(runs) <= 2
    assert {(shop.get(id_).state.value, shop.get(id_).lease_number) for id_ in ids} == {("completed", 1)}
