"""An application whose workers are killed: run as `python chaos_app.py URL LOG GATE LEASE GRACE`.

Each handler writes a line to the log as it begins and as it ends, `<what> <id> <attempt> <lease_number>`, with one
write to a file in append mode, so that the lines of all processes stand whole and in order.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from uuid import UUID

from durex_core import AsyncContext, Context, Durex, Spec
from durex_core.backoff import Constant
from durex_core.errors import NonRetryable
from durex_core.facts import AttemptFacts
from durex_core.results import Next, Spawn, SpawnThen

MANY = 200
"""Retries of commands that no number of crashes is to end."""

PARTS = ("plain", "flaky", "asynchronous")
"""What a join consists of."""

CHILDREN = {"chain": 1, "gated_chain": 1, "fan_out": 2, "join": 4, "gated_join": 3, "saga": 3, "gated_saga": 3}
"""How many children the commands of a name have; the others have none."""

MIXED = {
    "plain": 60,
    "asynchronous": 40,
    "chain": 40,
    "fan_out": 30,
    "flaky": 30,
    "hopeless": 20,
    "join": 15,
    "saga": 15,
}
"""A few hundred commands of all kinds, which have two hundred children."""

SOON = Constant(timedelta(milliseconds=50))


class Log:
    """A file that handlers note their runs in."""

    def __init__(self, path: Path | None) -> None:
        """Name the file; without one there is nothing to run."""
        self._path = path

    def note(self, what: str, ctx: AttemptFacts) -> None:
        """Write a line, at once and whole."""
        assert self._path is not None
        line = f"{what} {ctx.id} {ctx.attempt} {ctx.command.lease_number}\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)

    def work(self, ctx: AttemptFacts, is_done: Callable[[], bool] = lambda: True) -> dict[str, int]:
        """Take a moment, or until something is done, and return what tells of the lease."""
        self.note("begin", ctx)
        threading.Event().wait(Random().uniform(0, 0.1))
        while not is_done():
            threading.Event().wait(0.01)
        self.note("end", ctx)
        return {"lease_number": ctx.command.lease_number}


def make_app(url: str, log: Path | None = None, gate: Path | None = None) -> Durex:
    """Return the application, on a database; a worker needs the log, and the `gated` commands a gate."""
    app = Durex(url)
    _add_steady(app, Log(log))
    _add_parents(app, Log(log), gate)
    _add_failing(app, Log(log))
    _add_joins(app, Log(log))
    _add_sagas(app, Log(log), gate)
    return app


def _add_steady(app: Durex, log: Log) -> None:
    @app.command("plain", retries=MANY)
    def plain(ctx: Context) -> object:
        return log.work(ctx)

    @app.command("once", retries=1)
    def once(ctx: Context) -> object:
        return log.work(ctx)

    @app.command("asynchronous", retries=MANY)
    async def asynchronous(ctx: AsyncContext) -> object:
        log.note("begin", ctx)
        await asyncio.sleep(Random().uniform(0, 0.1))
        log.note("end", ctx)
        return {"lease_number": ctx.command.lease_number}


def _add_parents(app: Durex, log: Log, gate: Path | None) -> None:
    def is_open(attempt: int) -> bool:
        return gate is not None and gate_of(gate, attempt).exists()

    @app.command("chain", retries=MANY)
    def chain(ctx: Context) -> Next:
        return Next(Spec("plain"), result=log.work(ctx))

    @app.command("fan_out", retries=MANY)
    def fan_out(ctx: Context) -> Spawn:
        return Spawn(Spec("plain"), Spec("asynchronous"), result=log.work(ctx))

    @app.command("gated", retries=MANY)
    def gated(ctx: Context) -> object:
        return log.work(ctx, lambda: is_open(ctx.attempt))

    @app.command("gated_chain", retries=MANY)
    def gated_chain(ctx: Context) -> Next:
        return Next(Spec("plain"), result=log.work(ctx, lambda: is_open(ctx.attempt)))


def _add_failing(app: Durex, log: Log) -> None:
    @app.command("flaky", retries=MANY, backoff=SOON)
    def flaky(ctx: Context) -> object:
        result = log.work(ctx)
        if ctx.attempt == 1:
            raise ValueError("once")
        return result

    @app.command("hopeless", retries=2, backoff=SOON)
    def hopeless(ctx: Context) -> None:
        log.work(ctx)
        raise ValueError("always")

    @app.command("poison", retries=2)
    def poison(ctx: Context) -> None:
        log.note("begin", ctx)
        os.kill(os.getpid(), signal.SIGKILL)


def _add_joins(app: Durex, log: Log) -> None:
    @app.command("join", retries=MANY)
    def join(ctx: Context) -> SpawnThen:
        return SpawnThen([Spec(name) for name in PARTS], Spec("joined"), result=log.work(ctx))

    @app.command("gated_join", retries=MANY)
    def gated_join(ctx: Context) -> SpawnThen:
        return SpawnThen([Spec("plain"), Spec("gated")], Spec("joined"), result=log.work(ctx))

    @app.command("joined", retries=MANY)
    def joined(ctx: Context) -> object:
        return log.work(ctx)


def _add_sagas(app: Durex, log: Log, gate: Path | None) -> None:
    def fail(ctx: Context) -> None:
        ctx.compensate_with(Spec("undo"))
        ctx.compensate_with(Spec("undo"))
        log.work(ctx)
        raise NonRetryable("as always")

    @app.command("saga", retries=MANY)
    def saga(ctx: Context) -> None:
        fail(ctx)

    @app.command("gated_saga", retries=MANY)
    def gated_saga(ctx: Context) -> None:
        fail(ctx)

    @saga.on_recover
    def recover() -> Next:
        return Next(Spec("plain"))

    @gated_saga.on_recover
    def recover_when_open(ctx: Context) -> Next:
        log.note("hook", ctx)
        while gate is None or not gate_of(gate, ctx.attempt).exists():
            threading.Event().wait(0.01)
        return Next(Spec("plain"))

    @app.command("undo", retries=MANY)
    async def undo(ctx: AsyncContext) -> object:
        log.note("begin", ctx)
        log.note("end", ctx)
        return {"lease_number": ctx.command.lease_number}


def gate_of(gate: Path, attempt: int) -> Path:
    """Return the file that an attempt of a gated command waits for."""
    return gate.with_name(f"{gate.name}.{attempt}")


def enqueue(app: Durex, counts: dict[str, int]) -> dict[UUID, str]:
    """Enqueue so many commands of each name, mixed; return the name of each id."""
    names = [name for name, count in counts.items() for _ in range(count)]
    Random(7).shuffle(names)
    answers = app.enqueue_many([Spec(name) for name in names])
    return {answer.id: name for answer, name in zip(answers, names, strict=True)}


def main() -> None:
    """Work until SIGTERM."""
    url, log, gate, lease, grace = sys.argv[1:]
    app = make_app(url, Path(log), Path(gate))
    worker = app.worker(concurrency=4, lease=timedelta(seconds=float(lease)), grace=timedelta(seconds=float(grace)))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    Path(f"{log}.{os.getpid()}").touch()
    worker.run()
    app.close()


if __name__ == "__main__":
    main()
