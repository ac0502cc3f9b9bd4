"""PgQueuer at its best: asyncpg and uvloop, its own settings for autovacuum, and the batch that drains fastest.

Its logged tables are kept (its `durable`): the faster levels lose jobs when the server crashes. Its job log is kept
too, which tells what became of each job.
"""

import json
import logging
import time

import asyncpg
import uvloop
from bench.side import Order, one_by_one_async, payload, ping_async, serve, wait_for_go
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

BATCH = 1000


async def install(order: Order) -> None:
    """Make the schema."""
    queries = await _queries(order)
    await queries.install()
    await queries.optimize_autovacuum()


async def enqueue(order: Order) -> float:
    """Enqueue one per commit."""
    queries = await _queries(order)
    return await one_by_one_async(lambda number: queries.enqueue("noop", _bytes(number)), order.count)


async def load(order: Order) -> float:
    """Enqueue all at once."""
    queries = await _queries(order)
    started_at = time.perf_counter()
    numbers = range(order.count)
    await queries.enqueue(["noop"] * order.count, [_bytes(number) for number in numbers], [0] * order.count)
    return time.perf_counter() - started_at


async def work(order: Order) -> None:
    """Run a worker: until the queue is empty, or to wait for more."""
    logging.disable(logging.INFO)
    ledger = order.open_ledger()
    handler = ledger.hear if order.settings.get("latency") else ledger.run
    worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(order.url)))

    @worker.entrypoint("noop")
    async def noop(job: Job) -> None:
        handler(json.loads(job.payload)["n"])

    wait_for_go()
    mode = QueueExecutionMode.continuous if order.settings.get("latency") else QueueExecutionMode.drain
    await worker.run(batch_size=order.settings.get("batch", BATCH), mode=mode)


async def pings(order: Order) -> None:
    """Enqueue for an idle worker."""
    queries = await _queries(order)
    await ping_async(lambda number: queries.enqueue("noop", _bytes(number)), order)


async def _queries(order: Order) -> Queries:
    return Queries(AsyncpgDriver(await asyncpg.connect(order.url)))


def _bytes(number: int) -> bytes:
    return json.dumps(payload(number)).encode()


if __name__ == "__main__":
    verbs = {"install": install, "enqueue": enqueue, "load": load, "work": work, "pings": pings}
    serve(**{name: lambda order, verb=verb: uvloop.run(verb(order)) for name, verb in verbs.items()})
