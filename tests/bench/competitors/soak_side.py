"""durex for as long as it takes: a process that works, and one that enqueues at a steady rate.

Most commands are plain. One in twenty is delayed, one in twenty fails once, and a few repeat every second.
"""

import threading
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from bench.ledger import Ledger
from bench.side import Order, payload, serve, wait_for_go

from durex_core import Context, Durex, Spec
from durex_core.backoff import Constant
from durex_core.model import RetentionPolicy
from durex_core.results import Repeat

CONCURRENCY = 100
KINDS = 20
FAILING = 1
DELAYED = 2
REPEATING = 10
SOON = timedelta(seconds=2)
RETENTION = RetentionPolicy(completed=timedelta(seconds=30), attention=timedelta(seconds=30))

_CHUNK_SECONDS = 0.1
_PAUSE_SECONDS = 0.02


def application(order: Order) -> Durex:
    """Return the application of a run."""
    app = Durex(order.url, retention=RETENTION)
    ledger = order.open_ledger() if order.ledger else Ledger.nowhere()
    runs: dict[UUID, int] = {}

    @app.command("plain")
    def plain(given: Any) -> None:
        ledger.run(given["n"])

    @app.command("flaky", retries=1, backoff=Constant(timedelta(seconds=1)))
    def flaky(ctx: Context, given: Any) -> None:
        if ctx.attempt == 1:
            ledger.fail(given["n"])
            raise ConnectionError("this attempt is to fail")
        ledger.run(given["n"])

    @app.command("beat", period=timedelta(seconds=1))
    def beat(ctx: Context) -> Repeat:
        before = runs.get(ctx.id, ctx.run - 1)
        if ctx.run != before + 1:
            raise AssertionError(f"run {ctx.run} follows run {before}")
        runs[ctx.id] = ctx.run
        return Repeat()

    return app


def spec(number: int) -> Spec:
    """Return the command of a number."""
    kind = number % KINDS
    return Spec("flaky" if kind == FAILING else "plain", payload(number), delay=SOON if kind == DELAYED else None)


def install(order: Order) -> None:
    """Make the schema, and enqueue what repeats."""
    app = application(order)
    app.migrate()
    app.enqueue_many([Spec("beat")] * REPEATING)


def work(order: Order) -> None:
    """Run a worker until ended, or enqueue until the time is up and wait for the end."""
    app = application(order)
    app.health()
    wait_for_go()
    if "rate" in order.settings:
        _feed(app, order)
    else:
        app.worker(concurrency=CONCURRENCY).run()


def _feed(app: Durex, order: Order) -> None:
    """Enqueue so many commands a second, fewer if as many as `most` wait already."""
    ledger = order.open_ledger()
    pause = threading.Event()
    rate, most = order.settings["rate"], order.settings["most"]
    began_at = time.perf_counter()
    fed = 0
    while (elapsed := time.perf_counter() - began_at) < order.settings["seconds"]:
        due = min(int(elapsed * rate), order.count)
        if due - fed < rate * _CHUNK_SECONDS or fed - ledger.done > most:
            pause.wait(_PAUSE_SECONDS)
            continue
        chunk = range(fed, min(due, fed + max(1, rate // 2)))
        for number in chunk:
            ledger.call(number)
        app.enqueue_many([spec(number) for number in chunk])
        fed = chunk.stop
    pause.wait()


if __name__ == "__main__":
    serve(install=install, work=work)
