"""The application that the deployment tests deploy; a copy of it, so that they can change it."""

from datetime import timedelta
from pathlib import Path
from threading import Event

from durex_core import Context, Durex
from durex_core.backoff import Constant
from durex_core.results import SpawnThen

VERSION = "the first version"

app = Durex()


@app.command("greet", timeout=timedelta(seconds=20))
def greet(name: str) -> str:
    return f"hello {name} from {VERSION}"


@app.command("count", timeout=timedelta(seconds=20))
def count(number: int) -> int:
    return number


@app.command("fail", retries=1, backoff=Constant(timedelta(seconds=2)), timeout=timedelta(seconds=20))
def fail() -> None:
    raise RuntimeError("on purpose")


@app.command("hold", retries=1, timeout=timedelta(seconds=20))
def hold(ctx: Context, gate: str) -> str:
    """Wait until the test opens the gate."""
    Path(f"{gate}.{ctx.attempt}").touch()
    while not Path(gate).exists() and not ctx.is_cancelled:
        Event().wait(0.02)
    return f"attempt {ctx.attempt}"


@app.command("fan", timeout=timedelta(seconds=20))
def fan(size: int) -> SpawnThen:
    return SpawnThen([count.spec(number) for number in range(size)], total.spec())


@app.command("total", queue="fan", timeout=timedelta(seconds=20))
def total(ctx: Context) -> int:
    return sum(child.result for child in ctx.children)


@app.command("forgotten", timeout=timedelta(seconds=20))
def forgotten() -> str:
    """Be enqueued by nobody who would wake its worker."""
    return "found"
