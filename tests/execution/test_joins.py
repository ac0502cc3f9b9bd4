"""`SpawnThen`: many commands side by side, and one more when all of them have ended."""

import threading
from datetime import timedelta

import pytest
from staging import wait_until

from durex_core import AsyncContext, Context, Spec
from durex_core.errors import Cancel
from durex_core.model import State
from durex_core.results import Next, SpawnThen

LATER = timedelta(hours=1)


@pytest.fixture
def shop(app):
    """Register a parent that spawns what a test asks for, a `part`, and a `then` with a hook, which tell the test."""
    told = app.told = []
    app.specs = []
    app.allow_failures = False
    app.then_options = {}

    @app.command("parent")
    def parent() -> SpawnThen:
        then = Spec("then", **app.then_options)
        return SpawnThen(app.specs, then, allow_failures=app.allow_failures, result="spawned")

    @app.command("part")
    def part(number: int) -> int:
        return number * 10

    @app.command("then")
    def then(ctx: Context) -> list:
        told.append([(child.position, child.name, child.state, child.result) for child in ctx.children])
        return [child.result for child in ctx.children]

    @then.on_recover
    def recover(ctx: Context, error) -> None:
        told.append(error.type)
        told.append([(child.position, child.state) for child in ctx.children])

    return app


def test_then_runs_when_all_have_ended_and_reads_how_in_the_order_of_the_specs(shop, work, finished, ended):
    shop.specs = [Spec("part", number) for number in range(20)]
    work(concurrency=4)
    enqueued = shop.enqueue("parent")

    assert finished(enqueued).result == "spawned"
    (then,) = ended("then")
    assert (then.state, then.attempt, then.parent_id) == (State.COMPLETED, 1, enqueued.id)
    assert then.result == [number * 10 for number in range(20)]
    assert shop.told == [[(number, "part", State.COMPLETED, number * 10) for number in range(20)]]
    assert {child.id for child in then.children} == {part.id for part in ended("part", 20)}
    assert shop.get(enqueued.id).finished_at <= min(part.finished_at for part in ended("part", 20))


def test_then_waits_for_the_last_and_for_no_less(shop, work, finished, stage):
    release = threading.Event()

    @shop.command("slow")
    def slow() -> None:
        release.wait(20)

    shop.specs = [Spec("part", 1), Spec("slow"), Spec("part", 2)]
    work()
    finished(shop.enqueue("parent"))
    wait_until(lambda: len(stage.finished("part")) == 2)

    ((state, awaits),) = stage.run("SELECT state, awaits FROM commands WHERE name = 'then'")
    assert (state, awaits, shop.told) == ("waiting", 1, [])
    release.set()
    wait_until(lambda: shop.told)


def test_then_runs_once_though_all_end_at_the_same_moment(shop, work, ended):
    together = threading.Barrier(8)

    @shop.command("meet")
    def meet() -> None:
        together.wait(20)

    shop.specs = [Spec("meet")] * 8
    work(concurrency=8)
    for joins in range(1, 4):
        shop.enqueue("parent")
        ended("then", joins)

    assert [len(children) for children in shop.told] == [8, 8, 8]


def test_without_specs_then_runs_at_once(shop, work, ended):
    work()
    shop.enqueue("parent")

    assert (ended("then")[0].state, shop.told) == (State.COMPLETED, [[]])


ENDS = {
    "failed": State.FAILED,
    "dead": State.DEAD_LETTER,
    "expired": State.EXPIRED,
    "cancelled by itself": State.CANCELLED,
    "cancelled by somebody": State.CANCELLED,
}


def bad(app, why):
    """Register a command that ends other than well, and return a spec of it."""

    @app.command("bad")
    def end_badly(why: str) -> None:
        raise Cancel if why.startswith("cancelled") else ValueError(why)

    options = {
        "failed": {"dead_letter": False},
        "expired": {"delay": LATER},
        "cancelled by somebody": {"delay": LATER},
    }
    return Spec("bad", why, **options.get(why, {}))


@pytest.mark.parametrize("why", ENDS)
def test_if_one_does_not_complete_then_fails_without_an_attempt_and_its_hook_runs(shop, work, ended, stage, why):
    shop.specs = [Spec("part", 1), bad(shop, why), Spec("part", 2)]
    work()
    shop.enqueue("parent")
    end_early(shop, stage, why)

    (then,) = ended("then")
    assert (then.state, then.attempt, then.result) == (State.DEAD_LETTER, 0, None)
    assert shop.told == ["ChildrenFailed", [(0, State.COMPLETED), (1, ENDS[why]), (2, State.COMPLETED)]]
    assert then.error.message.startswith("1 of the 3 commands that it waited for did not complete: 1 (bad ")
    assert [event.event for event in shop.history(then.id)] == ["created", "failed", "recovered"]


def end_early(app, stage, why):
    """Let what waits for its time be cancelled, or be overdue."""
    if why not in {"cancelled by somebody", "expired"}:
        return
    ((command_id,),) = wait_until(lambda: stage.run("SELECT id FROM commands WHERE name = 'bad'"))
    wait_until(lambda: len(stage.finished("part")) == 2)
    if why == "expired":
        # Its time is over before it is due: nobody may claim it in between.
        stage.run("UPDATE commands SET expires_at = created_at WHERE name = 'bad'")
        stage.make_due()
        app.wake.ready({})
    else:
        app.cancel(command_id)


@pytest.mark.parametrize("why", ENDS)
def test_with_failures_allowed_then_runs_all_the_same_and_reads_them(shop, work, ended, stage, why):
    shop.specs = [Spec("part", 1), bad(shop, why), Spec("part", 2)]
    shop.allow_failures = True
    work()
    shop.enqueue("parent")
    end_early(shop, stage, why)

    (then,) = ended("then")
    assert (then.state, then.attempt) == (State.COMPLETED, 1)
    assert shop.told[0][:2] == [(0, "part", State.COMPLETED, 10), (1, "bad", ENDS[why], None)]
    assert then.children[1].error is not None


def test_a_child_that_is_tried_again_is_counted_once_and_when_it_ends(shop, work, ended):
    @shop.command("flaky", retries=2)
    async def flaky(ctx: AsyncContext) -> int:
        if not ctx.is_last_attempt:
            raise ValueError("not yet")
        return ctx.attempt

    shop.specs = [Spec("flaky"), Spec("flaky"), Spec("part", 1)]
    work()
    shop.enqueue("parent")
    ended("then")

    assert [result for _, _, _, result in shop.told[0]] == [3, 3, 10]


def test_a_retry_of_then_reads_the_same_children(shop, work, ended):
    shop.unregister("then")

    @shop.command("then", retries=1)
    def then(ctx: Context) -> int:
        shop.told.append([child.result for child in ctx.children])
        if ctx.attempt == 1:
            raise ValueError("once")
        return ctx.attempt

    shop.specs = [Spec("part", 1), Spec("part", 2)]
    work()
    shop.enqueue("parent")

    assert ended("then")[0].result == 2
    assert shop.told == [[10, 20], [10, 20]]


def test_what_a_child_spawns_is_not_waited_for(shop, work, finished, ended, stage):
    @shop.command("leaf", queue="elsewhere")
    def leaf() -> None: ...

    @shop.command("branch")
    def branch() -> Next:
        return Next(leaf.spec())

    shop.specs = [Spec("branch")]
    work(queues=["parent", "branch", "then"])
    finished(shop.enqueue("parent"))

    assert ended("then")[0].state is State.COMPLETED
    assert stage.run("SELECT name, join_id FROM commands") == [("leaf", None)]


def test_a_join_of_joins_ends_with_the_last_of_them(app, work, ended):
    levels = []

    @app.command("part")
    def part(number: int) -> int:
        return number

    @app.command("branch")
    def branch(level: int) -> object:
        levels.append(level)
        if level == 3:
            return None
        return SpawnThen([branch.spec(level + 1), branch.spec(level + 1)], part.spec(level))

    work()
    branch.enqueue(0)

    assert sorted(command.result for command in ended("part", 7)) == [0, 1, 1, 2, 2, 2, 2]
    assert len(levels) == 15


BAD_JOINS = {
    "then.delay": SpawnThen([Spec("part", 1)], Spec("then", delay=LATER)),
    "then.unique_key": SpawnThen([Spec("part", 1)], Spec("then", unique_key="k")),
    "then.idempotency_key": SpawnThen([Spec("part", 1)], Spec("then", idempotency_key="k")),
    "specs[1].unique_key": SpawnThen([Spec("part", 1), Spec("part", 2, unique_key="k")], Spec("then")),
    "specs[0].idempotency_key": SpawnThen([Spec("part", 1, idempotency_key="k")], Spec("then")),
    "payload": SpawnThen([Spec("part", 1), Spec("part", "text")], Spec("then")),
    "name": SpawnThen([Spec("part", 1)], Spec("unheard_of")),
    "then": SpawnThen([Spec("part", 1)], "then"),
    "specs[0]": SpawnThen(["part"], Spec("then")),
}


@pytest.mark.parametrize("field", BAD_JOINS)
def test_what_cannot_be_joined_fails_its_parent_for_good_and_stores_nothing(shop, work, finished, stage, field):
    shop.command("bad_parent", retries=3)(lambda: BAD_JOINS[field])
    work()

    command = finished(shop.enqueue("bad_parent"))
    assert (command.state, command.attempt) == (State.DEAD_LETTER, 1)
    assert command.error.type in {"InvalidSpec", "InvalidPayload", "UnknownCommand"}
    assert command.error.message.startswith(f"{field}: ")
    assert stage.run("SELECT count(*) FROM all_commands WHERE name <> 'bad_parent'") == [(0,)]


def test_a_thousand_commands_are_joined_and_one_more_is_refused(shop, work, finished, ended):
    shop.specs = [Spec("part", 1)] * 1001
    work()
    refused = finished(shop.enqueue("parent"))
    assert (refused.state, refused.error.type) == (State.DEAD_LETTER, "InvalidResult")
    assert "at most 1000 specs, not 1001" in refused.error.message

    shop.specs.pop()
    shop.enqueue("parent")
    assert ended("then")[0].result == [10] * 1000


def test_then_and_the_parts_are_children_of_the_parent_and_carry_its_ids(shop, work, ended):
    shop.specs = [Spec("part", 1), Spec("part", 2, correlation_id="its own")]
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    work()
    parent = shop.enqueue("parent", correlation_id="order 42", traceparent=traceparent)

    (then,) = ended("then")
    parts = ended("part", 2)
    assert {command.parent_id for command in (then, *parts)} == {parent.id}
    assert {command.traceparent for command in (then, *parts)} == {traceparent}
    assert then.correlation_id == "order 42"
    assert {part.correlation_id for part in parts} == {"order 42", "its own"}


def test_then_is_picked_up_promptly_by_another_application_that_was_idle(other, shop, work, finished):
    heard = threading.Event()

    @other.command("then")
    def then(ctx: Context) -> None:
        shop.told.append(len(ctx.children))
        heard.set()

    other.command("idle")(lambda: None)
    shop.specs = [Spec("part", number) for number in range(3)]
    work(other, queues=["then", "idle"])
    finished(other.enqueue("idle"))
    work(queues=["parent", "part"])
    shop.enqueue("parent")

    assert heard.wait(10)
    assert shop.told == [3]
