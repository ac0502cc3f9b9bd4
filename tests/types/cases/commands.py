"""A handle knows the payload and the result of its handler, in whichever way that is written."""

from datetime import timedelta
from typing import Any, assert_type

from pydantic import BaseModel

from durex_core import AsyncContext, Context, Durex, Spec
from durex_core.backoff import Exponential
from durex_core.handle import CommandHandle
from durex_core.model import Enqueued, ErrorInfo
from durex_core.results import Next, Spawn

app = Durex("sqlite:///:memory:", defaults={"retries": 3, "timeout": timedelta(minutes=1)}, never_retry=(KeyError,))


class Order(BaseModel):
    id: str


order = Order(id="1")


# Functions


@app.command("both")
def both(ctx: Context, order: Order) -> str:
    return f"{ctx.id} {order.id}"


@app.command("payload_alone")
def payload_alone(order: Order) -> str:
    return order.id


@app.command("context_alone")
def context_alone(ctx: Context) -> int:
    return ctx.attempt


@app.command("nothing")
def nothing() -> int:
    return 3


@app.command("plain_values")
def plain_values(payload: dict[str, Any]) -> list[Any]:
    return list(payload)


@app.command("optional")
def optional(ctx: Context, order: Order | None = None) -> Next:
    return Next(both.spec(order or Order(id=ctx.name)))


assert_type(both.enqueue(order), Enqueued)
assert_type(both.enqueue(order, retries=3, delay=timedelta(days=1), unique_key="order:1"), Enqueued)
assert_type(both.spec(order, priority=3, tags=("a",), metadata={"a": [1]}), Spec)
assert_type(context_alone.enqueue(), Enqueued)
assert_type(context_alone.enqueue(None), Enqueued)
assert_type(nothing.spec(), Spec)
assert_type(plain_values.spec({"any": [1, None]}), Spec)
assert_type(optional.enqueue(), Enqueued)
assert_type(optional.enqueue(order), Enqueued)

of_both: CommandHandle[Order, str] = both
of_payload: CommandHandle[Order, str] = payload_alone
of_context: CommandHandle[None, int] = context_alone
of_nothing: CommandHandle[None, int] = nothing
of_optional: CommandHandle[Order | None, Next] = optional


def call(ctx: Context) -> None:
    assert_type(both(ctx, order), str)
    assert_type(payload_alone(order), str)
    assert_type(context_alone(ctx), int)
    assert_type(nothing(), int)


# Coroutine functions


@app.command("both_later")
async def both_later(ctx: AsyncContext, order: Order) -> str:
    return f"{ctx.id} {order.id}"


@app.command("payload_later")
async def payload_later(order: Order) -> str:
    return order.id


@app.command("context_later")
async def context_later(ctx: AsyncContext) -> int:
    return ctx.attempt


@app.command("nothing_later")
async def nothing_later() -> int:
    return 3


assert_type(both_later.enqueue(order), Enqueued)
assert_type(nothing_later.spec(retries=0), Spec)

of_both_later: CommandHandle[Order, str] = both_later
of_payload_later: CommandHandle[Order, str] = payload_later
of_context_later: CommandHandle[None, int] = context_later
of_nothing_later: CommandHandle[None, int] = nothing_later


async def call_later(ctx: AsyncContext) -> None:
    assert_type(await both_later(ctx, order), str)
    assert_type(await payload_later(order), str)
    assert_type(await context_later(ctx), int)
    assert_type(await nothing_later(), int)


# Classes and objects


class Ship:
    name = "ship"

    def __init__(self, carrier: str = "post") -> None:
        self.carrier = carrier

    def execute(self, ctx: Context, order: Order) -> str:
        return f"{ctx.id} {order.id} {self.carrier}"

    def recover(self, order: Order, error: ErrorInfo) -> Spawn:
        return Spawn(both.spec(order, correlation_id=error.type))


class ShipLater:
    async def execute(self, order: Order) -> str:
        return order.id


class Tick:
    def execute(self) -> int:
        return 3


class TickLater:
    async def execute(self, ctx: AsyncContext) -> int:
        return ctx.attempt


ship = app.register(Ship("rail"), retries=3, replace=True)
ship_later = app.register(ShipLater(), name="ship_later")
tick = app.register(Tick(), name="tick", period=timedelta(hours=1))
ship_by_class = app.command("ship_by_class")(Ship)
ship_later_by_class = app.command("ship_later_by_class")(ShipLater)
tick_by_class = app.command("tick_by_class", permanent=True)(Tick)
tick_later_by_class = app.command("tick_later_by_class")(TickLater)

of_ship: CommandHandle[Order, str] = ship
of_ship_later: CommandHandle[Order, str] = ship_later
of_tick: CommandHandle[None, int] = tick
of_ship_by_class: CommandHandle[Order, str] = ship_by_class
of_ship_later_by_class: CommandHandle[Order, str] = ship_later_by_class
of_tick_by_class: CommandHandle[None, int] = tick_by_class
of_tick_later_by_class: CommandHandle[None, int] = tick_later_by_class

assert_type(ship.enqueue(order), Enqueued)
assert_type(tick_by_class.spec(), Spec)


def call_class(ctx: Context) -> None:
    assert_type(ship(ctx, order), str)
    assert_type(tick_by_class(), int)


# Options and hooks


def tell(ctx: Context, error: ErrorInfo) -> None:
    assert_type((ctx.name, error.message), tuple[str, str])


def from_text(payload: Any) -> Order:
    return Order(id=payload)


@app.command(
    "charge",
    queue="money",
    payload={"id": "1"},
    retries=3,
    backoff=Exponential(),
    timeout=timedelta(seconds=30),
    deadline=timedelta(hours=1),
    start_within=None,
    period=timedelta(hours=1),
    priority=-1,
    dead_letter=False,
    tags=["money"],
    metadata={"team": "money"},
    upcast=from_text,
    never_retry=(PermissionError,),
    on_recover=tell,
    permanent=True,
    replace=True,
)
def charge(order: Order) -> str:
    return order.id


@charge.on_expired
async def warn(ctx: AsyncContext, order: Order) -> Spawn:
    return Spawn(charge.spec(order, correlation_id=ctx.name))


@both.on_recover
def refund(ctx: Context, order: Order, error: ErrorInfo) -> Spawn:
    return Spawn(charge.spec(order), result=f"{ctx.name} {error.message}")


of_charge: CommandHandle[Order | None, str] = charge

assert_type(charge.enqueue(), Enqueued)
assert_type(charge.enqueue(order), Enqueued)


async def call_hooks(ctx: Context, later: AsyncContext, error: ErrorInfo) -> None:
    assert_type(refund(ctx, order, error), Spawn)
    assert_type(await warn(later, order), Spawn)
