"""What a type checker is to find: an error in each line that says so, and in no other one."""

from datetime import timedelta

from pydantic import BaseModel

from durex_core import AsyncContext, Context, Durex, Spec
from durex_core.handle import CommandHandle
from durex_core.model import ErrorInfo

app = Durex("sqlite:///:memory:")


class Order(BaseModel):
    id: str


order = Order(id="1")


@app.command("both")
def both(ctx: Context, order: Order) -> str:
    return f"{ctx.id} {order.id}"


@app.command("later")
async def later(ctx: AsyncContext, order: Order) -> str:
    return f"{ctx.id} {order.id}"


@app.command("nothing")
def nothing() -> int:
    return 3


class Ship:
    def __init__(self, carrier: str = "post") -> None:
        self.carrier = carrier

    def execute(self, order: Order) -> str:
        return f"{order.id} {self.carrier}"


class WithoutExecute:
    name = "without_execute"


ship = app.register(Ship(), name="ship")
ship_by_class = app.command("ship_by_class")(Ship)

# Payloads

both.enqueue("wrong")  # error
both.enqueue({"id": "1"})  # error
both.enqueue()  # error
both.enqueue(None)  # error
both.spec("wrong")  # error
later.enqueue("wrong")  # error
later.spec()  # error
nothing.enqueue(3)  # error
nothing.spec(order)  # error
ship.enqueue("wrong")  # error
ship.spec()  # error
ship_by_class.enqueue(3)  # error

# Options

both.enqueue(order, retries="3")  # error
both.enqueue(order, retires=3)  # error
both.enqueue(order, delay=30)  # error
both.spec(order, tags="abc", queue="money")  # error
both.spec(order, deadline_at=timedelta(1))  # error
app.enqueue("both", order, unique_key=3)  # error
Spec("both", order, timeout=30)  # error
app.command("a", retries="3")  # error
app.command("a", retires=3)  # error
app.command("a", unique_key="a")  # error
app.command("a", delay=timedelta(1))  # error
app.command("a", permanent="yes")  # error
app.command("a", never_retry=(3,))  # error
app.command("a", upcast=3)  # error
app.command("a", on_recover="refund")  # error
app.register(Ship(), name="a", retries="3")  # error
app.register(Ship(), names="a")  # error
Durex(defaults={"retries": "3"})  # error
Durex(defaults={"unique_key": "a"})  # error
Durex(never_retry=(KeyError, 3))  # error

# Handlers and hooks

app.command("a")(3)  # error
app.command("a")(WithoutExecute())  # error
app.register(WithoutExecute())  # error
app.register(3, name="a")  # error
both.on_recover(3)  # error


@both.on_recover
def refund(order: Order, error: ErrorInfo) -> str:
    return f"{order.id} {error.message}"


refund(order, "wrong")  # error

# Results

of_str: CommandHandle[Order, int] = both  # error
of_coroutine: CommandHandle[Order, int] = later  # error
of_another_payload: CommandHandle[str, int] = nothing  # error
of_object: CommandHandle[Order, int] = ship  # error


async def call(ctx: Context, other: AsyncContext) -> None:
    both(order)  # error
    both(other, order)  # error
    both(ctx, "wrong")  # error
    nothing(order)  # error
    ship(ctx, order)  # error
    count: int = both(ctx, order)  # error
    text: str = later(other, order)  # error
    count = await later(other, order)  # error
    assert count, text
