"""Procrastinate at its best: async tasks, and as many sub-workers as its pool has connections."""

import asyncio
import logging
import time

from bench.ledger import Ledger
from bench.side import Order, one_by_one_async, payload, ping_async, serve, wait_for_go
from procrastinate import App, PsycopgConnector

CONCURRENCY = 20
_CHUNK = 10_000


def application(order: Order) -> App:
    """Return the application of a run."""
    app = App(connector=PsycopgConnector(conninfo=order.url, max_size=CONCURRENCY))
    ledger = order.open_ledger() if order.ledger else Ledger.nowhere()

    @app.task(name="noop")
    async def noop(n: int) -> None:
        (ledger.hear if order.settings.get("latency") else ledger.run)(n)

    return app


async def install(order: Order) -> None:
    """Make the schema."""
    async with application(order).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def enqueue(order: Order) -> float:
    """Defer one per commit."""
    async with application(order).open_async() as app:
        task = app.configure_task("noop")
        return await one_by_one_async(lambda number: task.defer_async(**payload(number)), order.count)


async def load(order: Order) -> float:
    """Defer all, by its batches."""
    async with application(order).open_async() as app:
        task = app.configure_task("noop")
        started_at = time.perf_counter()
        for first in range(0, order.count, _CHUNK):
            numbers = range(first, min(first + _CHUNK, order.count))
            await task.batch_defer_async(*(payload(number) for number in numbers))
        return time.perf_counter() - started_at


async def work(order: Order) -> None:
    """Run a worker until ended."""
    logging.disable(logging.INFO)
    async with application(order).open_async() as app:
        wait_for_go()
        await app.run_worker_async(concurrency=order.settings.get("concurrency", CONCURRENCY))


async def pings(order: Order) -> None:
    """Defer for an idle worker."""
    async with application(order).open_async() as app:
        task = app.configure_task("noop")
        await ping_async(lambda number: task.defer_async(**payload(number)), order)


if __name__ == "__main__":
    verbs = {"install": install, "enqueue": enqueue, "load": load, "work": work, "pings": pings}
    serve(**{name: lambda order, verb=verb: asyncio.run(verb(order)) for name, verb in verbs.items()})
