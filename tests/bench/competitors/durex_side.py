"""durex, through its public interface alone."""

import threading
import time
from datetime import timedelta
from typing import Any

from bench.ledger import Ledger
from bench.side import Order, one_by_one, payload, ping, serve, wait_for_go

from durex_core import Context, Durex, Spec
from durex_core.results import SpawnThen

CONCURRENCY = 100
_FAR = timedelta(days=1)
_CHUNK = 10_000
_PRIORITIES = 10
_FAILING = 10
_LOOK_SECONDS = 0.01


def application(order: Order) -> Durex:
    """Return the application of a run."""
    app = Durex(order.url)
    ledger = order.open_ledger() if order.ledger else Ledger.nowhere()

    @app.command("noop")
    def noop(given: Any) -> None:
        ledger.run(given["n"])

    @app.command("heard")
    def heard(given: Any) -> None:
        ledger.hear(given["n"])

    @app.command("flaky", retries=1)
    def flaky(ctx: Context, given: Any) -> None:
        number = given["n"]
        if number % _FAILING == 0 and ctx.attempt == 1:
            ledger.fail(number)
            raise ConnectionError("this attempt is to fail")
        ledger.run(number)

    @app.command("past")
    def past() -> None:
        """Be the one that the finished commands are copies of."""

    @app.command("parent")
    def parent() -> SpawnThen:
        return SpawnThen([Spec("past", delay=_FAR)], then=Spec("past"))

    return app


def install(order: Order) -> None:
    """Make the schema."""
    application(order).migrate()


def enqueue(order: Order) -> float:
    """Enqueue one per commit."""
    app = application(order)
    return one_by_one(lambda number: app.enqueue("noop", payload(number)), order.count)


def load(order: Order) -> float:
    """Enqueue all at once."""
    app = application(order)
    app.health()
    started_at = time.perf_counter()
    app.enqueue_many([_spec(number, order.settings) for number in range(order.count)])
    return time.perf_counter() - started_at


def load_future(order: Order) -> None:
    """Enqueue commands that are due tomorrow."""
    app = application(order)
    for first in range(0, order.count, _CHUNK):
        chunk = min(_CHUNK, order.count - first)
        app.enqueue_many([Spec("past", delay=_FAR)] * chunk)


def load_seeds(order: Order) -> None:
    """Let one command finish, and one wait for another."""
    app = application(order)
    finished = app.enqueue("past").id
    parent = app.enqueue("parent").id
    worker = app.worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    while not all(app.get(one).state.is_terminal for one in (finished, parent)):
        threading.Event().wait(_LOOK_SECONDS)
    worker.stop()
    thread.join()


def work(order: Order) -> None:
    """Run a worker until ended."""
    app = application(order)
    app.health()
    wait_for_go()
    app.worker(queues=order.settings.get("queues"), concurrency=order.settings.get("concurrency", CONCURRENCY)).run()


def pings(order: Order) -> None:
    """Enqueue for an idle worker."""
    app = application(order)
    ping(lambda number: app.enqueue("heard", payload(number)), order)


def _spec(number: int, settings: dict[str, Any]) -> Spec:
    return Spec(
        "flaky" if settings.get("failing") else "noop",
        payload(number),
        unique_key=f"key:{number}" if settings.get("unique") else None,
        priority=number % _PRIORITIES if settings.get("priorities") else None,
    )


if __name__ == "__main__":
    serve(
        install=install,
        enqueue=enqueue,
        load=load,
        load_future=load_future,
        load_seeds=load_seeds,
        work=work,
        pings=pings,
    )
