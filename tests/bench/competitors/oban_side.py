"""Oban for Python (the open one) at its best: uvloop, a wide queue, and no pause between two fetches."""

import asyncio
import logging
import time
from typing import Any

import uvloop
from bench.side import Order, one_by_one_async, payload, ping_async, serve, wait_for_go
from oban import Oban, worker
from oban.job import Job
from oban.schema import install as install_schema

LIMIT = 100
_CHUNK = 10_000


@worker(queue="default")
class Noop:
    """Counts its run."""

    done: Any = None

    async def process(self, job: Job) -> None:
        """Count it."""
        Noop.done(job.args["n"])


async def install(order: Order) -> None:
    """Make the schema."""
    await install_schema(await Oban.create_pool(order.url))


async def enqueue(order: Order) -> float:
    """Enqueue one per commit."""
    async with await _oban(order) as oban:
        return await one_by_one_async(lambda number: oban.enqueue(Noop.new(payload(number))), order.count)


async def load(order: Order) -> float:
    """Enqueue all, in chunks that one statement can take."""
    async with await _oban(order) as oban:
        started_at = time.perf_counter()
        for first in range(0, order.count, _CHUNK):
            numbers = range(first, min(first + _CHUNK, order.count))
            await oban.enqueue_many([Noop.new(payload(number)) for number in numbers])
        return time.perf_counter() - started_at


async def work(order: Order) -> None:
    """Run a worker until ended."""
    logging.disable(logging.INFO)
    ledger = order.open_ledger()
    Noop.done = ledger.hear if order.settings.get("latency") else ledger.run
    limit = order.settings.get("limit", LIMIT)
    oban = await _oban(order, {"default": {"limit": limit, "debounce_interval": 0.0}})
    wait_for_go()
    async with oban:
        await asyncio.Event().wait()


async def pings(order: Order) -> None:
    """Enqueue for an idle worker."""
    async with await _oban(order) as oban:
        await ping_async(lambda number: oban.enqueue(Noop.new(payload(number))), order)


async def _oban(order: Order, queues: dict[str, Any] | None = None) -> Oban:
    return Oban(pool=await Oban.create_pool(order.url, min_size=2), queues=queues or {})


if __name__ == "__main__":
    verbs = {"install": install, "enqueue": enqueue, "load": load, "work": work, "pings": pings}
    serve(**{name: lambda order, verb=verb: uvloop.run(verb(order)) for name, verb in verbs.items()})
