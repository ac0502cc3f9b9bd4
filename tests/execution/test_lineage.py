"""What code without a context can know of the attempt it runs in, and what commands enqueued there inherit."""

import asyncio
import contextvars

import pytest

from durex_core import AsyncContext, Context, Spec, current

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
OTHER_TRACEPARENT = f"00-{'c' * 32}-{'d' * 16}-01"


def what_is_current():
    command = current.command()
    return command and str(command.id), current.correlation_id(), current.traceparent()


def test_code_that_a_handler_calls_knows_its_attempt(app, work, finished):
    @app.command("sync")
    def sync(ctx: Context) -> object:
        assert current.context() is ctx
        return what_is_current()

    @app.command("async")
    async def asynchronous(ctx: AsyncContext) -> object:
        await asyncio.sleep(0)
        assert current.context() is ctx
        assert (await asyncio.to_thread(current.context)) is ctx
        return await asyncio.create_task(asyncio.to_thread(what_is_current))

    work()

    for one in (sync, asynchronous):
        enqueued = one.enqueue(correlation_id="order 42", traceparent=TRACEPARENT)
        assert finished(enqueued).result == [str(enqueued.id), "order 42", TRACEPARENT]
        enqueued = one.enqueue()
        assert finished(enqueued).result == [str(enqueued.id), str(enqueued.id), None]


def test_attempts_side_by_side_know_each_their_own(app, work, finished):
    @app.command("ask")
    async def ask() -> str:
        for _ in range(20):
            await asyncio.sleep(0)
        return str(current.command().id)

    work(concurrency=10)
    enqueued = [ask.enqueue() for _ in range(20)]

    assert [finished(one).result for one in enqueued] == [str(one.id) for one in enqueued]


def test_a_hook_is_current_too(app, work, finished):
    seen = []

    @app.command("fail")
    def fail(ctx: Context) -> None:
        seen.append(ctx)
        raise ValueError("no")

    @fail.on_recover
    def recover(ctx: Context) -> None:
        assert current.context() is ctx
        seen.append(current.context())

    work()
    enqueued = fail.enqueue()
    finished(enqueued)

    handler, hook = seen
    assert handler is not hook
    assert handler.id == hook.id == enqueued.id


def test_outside_of_handlers_nothing_is_current(app, work, finished):
    app.command("idle")(lambda: None)
    work()
    finished(app.enqueue("idle"))

    assert (current.context(), *what_is_current()) == (None, None, None, None)


def test_what_a_handler_enqueues_is_its_child_and_inherits_its_ids(app, work, ended):
    @app.command("child", queue="elsewhere")
    def child() -> None: ...

    @app.command("sync")
    def sync() -> list[str]:
        many = app.enqueue_many([child.spec(), child.spec(correlation_id="its own", traceparent=OTHER_TRACEPARENT)])
        return [str(one.id) for one in [child.enqueue(), *many]]

    @app.command("async")
    async def asynchronous() -> list[str]:
        return [str((await app.aenqueue("child")).id), str((await asyncio.to_thread(child.enqueue)).id)]

    work(queues=["sync", "async"])
    for name in ("sync", "async"):
        enqueued = app.enqueue(name, correlation_id="order 42", traceparent=TRACEPARENT)
        (parent,) = ended(name)
        children = [app.get(one) for one in parent.result]
        assert {one.parent_id for one in children} == {enqueued.id}
        own = [one for one in children if one.correlation_id == "its own"]
        assert {one.traceparent for one in own} <= {OTHER_TRACEPARENT}
        assert len(own) == (name == "sync")
        rest = {(one.correlation_id, one.traceparent) for one in children if one not in own}
        assert rest == {("order 42", TRACEPARENT)}


def test_commands_enqueued_in_the_block_of_a_lineage_carry_its_ids(app):
    @app.command("greet")
    def greet() -> None: ...

    with current.lineage(correlation_id="request 7", traceparent=TRACEPARENT):
        outer = greet.enqueue()
        with current.lineage(correlation_id="request 8"):
            inner = greet.enqueue()
            own = app.enqueue(Spec("greet", correlation_id="its own"))
    after = greet.enqueue()

    found = [app.get(one.id) for one in (outer, inner, own, after)]
    assert [(one.correlation_id, one.traceparent, one.parent_id) for one in found] == [
        ("request 7", TRACEPARENT, None),
        ("request 8", TRACEPARENT, None),
        ("its own", TRACEPARENT, None),
        (None, None, None),
    ]


def test_a_lineage_inside_of_a_handler_beats_its_own(app, work, finished):
    @app.command("child", queue="elsewhere")
    def child() -> None: ...

    @app.command("parent")
    def parent() -> str:
        with current.lineage(correlation_id="another"):
            return str(child.enqueue().id)

    work(queues=["parent"])
    enqueued = parent.enqueue(correlation_id="order 42", traceparent=TRACEPARENT)

    command = app.get(finished(enqueued).result)
    assert (command.correlation_id, command.traceparent, command.parent_id) == ("another", TRACEPARENT, enqueued.id)


def test_a_lineage_ends_with_its_block_even_by_an_exception():
    with pytest.raises(ZeroDivisionError), current.lineage(correlation_id="request 7"):
        raise ZeroDivisionError
    assert current.correlation_id() is None


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="clean")


def test_what_a_handler_leaves_in_a_context_variable_is_not_for_the_next_one(app, work, finished):
    @app.command("sync")
    def sync() -> str:
        found = variable.get()
        variable.set("dirty")
        return found

    @app.command("async")
    async def asynchronous() -> str:
        found = variable.get()
        variable.set("dirty")
        return found

    work(concurrency=1)

    assert [finished(one.enqueue()).result for one in (sync, sync, asynchronous, asynchronous)] == ["clean"] * 4
