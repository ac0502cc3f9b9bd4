"""An application whose commands do what a worker function must cope with."""

import asyncio
from datetime import timedelta
from pathlib import Path
from threading import Event

from durex_core import Context, Durex
from durex_core.backoff import Constant
from durex_core.results import Next

QUEUE = "errands"
PARCELS = "parcels"

app = Durex()


@app.command("greet", queue=QUEUE)
def greet(name: str) -> str:
    return f"hello {name}"


@app.command("post", queue=QUEUE)
def post(parcel: str) -> Next:
    return Next(carry.spec(parcel))


@app.command("post_later", queue=QUEUE)
def post_later(parcel: str) -> Next:
    return Next(carry.spec(parcel, delay=timedelta(seconds=30)))


@app.command("carry", queue=PARCELS)
def carry(parcel: str) -> str:
    return f"carried {parcel}"


@app.command("stumble", queue=QUEUE, retries=1, backoff=Constant(timedelta(seconds=20)))
def stumble() -> None:
    raise RuntimeError("stumbled")


@app.command("trip", queue=QUEUE, retries=1, backoff=Constant(timedelta(seconds=40)))
def trip() -> None:
    raise RuntimeError("tripped")


@app.command("ask", queue=QUEUE)
def ask(ctx: Context) -> str:
    """Use the database from inside a handler."""
    return app.get(ctx.id).state.value


@app.command("wait_for_file", queue=QUEUE)
def wait_for_file(ctx: Context, path: str) -> str:
    Path(f"{path}.waiting").touch()
    while not Path(path).exists() and not ctx.is_cancelled:
        Event().wait(0.01)
    return "found"


@app.command("dawdle", queue=QUEUE)
async def dawdle() -> None:
    """Take longer than any invocation."""
    await asyncio.sleep(600)


@app.command("block", queue=QUEUE)
async def block() -> None:
    """Block the event loop, as a coroutine must not."""
    Event().wait(60)


@app.command("stick", queue=QUEUE, timeout=timedelta(seconds=0.2))
def stick() -> None:
    """Take no notice of being told to stop."""
    Event().wait(60)
