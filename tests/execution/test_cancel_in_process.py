"""A cancelled command whose attempt runs in the very process that cancels it: the attempt learns of it at once."""

import asyncio
import threading
from datetime import timedelta

from staging import wait_until

from durex_core import AsyncContext, Context
from durex_core.errors import AttemptCancelled
from durex_core.model import State

SOON = 10
LONG = timedelta(hours=1)


def test_a_plain_handler_sees_it_in_its_context(app, work):
    started, cancelled, seen = threading.Event(), threading.Event(), []

    @app.command("endless")
    def endless(ctx: Context):
        started.set()
        cancelled.wait(SOON)
        try:
            ctx.raise_if_cancelled()
        except AttemptCancelled:
            seen.append(ctx.is_cancelled)
            raise

    work(lease=LONG)
    command_id = endless.enqueue().id
    assert started.wait(SOON)

    app.cancel(command_id, "changed my mind")
    cancelled.set()

    wait_until(lambda: seen)
    assert seen == [True]
    assert (app.get(command_id).state, app.get(command_id).error.message) == (State.CANCELLED, "changed my mind")


def test_a_coroutine_is_cancelled(app, work):
    started, seen = threading.Event(), []

    @app.command("endless")
    async def endless(ctx: AsyncContext):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(ctx.is_cancelled)
            raise

    work(lease=LONG)
    command_id = endless.enqueue().id
    assert started.wait(SOON)

    app.cancel(command_id)

    wait_until(lambda: seen)
    assert seen == [True]


def test_others_go_on(app, work, finished):
    started, go_on = threading.Barrier(3), threading.Event()

    @app.command("patient")
    def patient(ctx: Context):
        started.wait(SOON)
        go_on.wait(SOON)
        return ctx.is_cancelled

    work(lease=LONG)
    first, second = patient.enqueue(), patient.enqueue()
    started.wait(SOON)

    app.cancel(first.id)
    go_on.set()

    assert finished(second).result is False
    assert app.get(first.id).state is State.CANCELLED
