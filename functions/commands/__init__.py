"""The example application: an order is processed, charged and shipped; one command always fails.

`process_order` → `charge` → `ship`, each the next one's cause: a command and its successor commit together, so that an
order is never lost between two of them and never charged twice by durex itself.
"""

from datetime import timedelta

from pydantic import BaseModel, PositiveInt

from durex_core import Context, Durex
from durex_core.backoff import Constant, Exponential, Jittered
from durex_core.results import Next

app = Durex()


class Order(BaseModel):
    """What a customer ordered; `fail_first_charge` makes the payment fail once, to show a retry."""

    id: str
    amount: PositiveInt
    fail_first_charge: bool = False


class PaymentDeclined(Exception):
    """The bank said no; another attempt may go through."""


@app.command("process_order", retries=3, backoff=Jittered(Exponential()), timeout=timedelta(seconds=30))
def process_order(ctx: Context, order: Order) -> Next:
    """Accept an order and have it charged."""
    return Next(charge.spec(order, tags=["order"]), result={"order": order.id, "accepted_by": ctx.name})


@app.command("charge", retries=3, backoff=Constant(timedelta(milliseconds=500)), timeout=timedelta(seconds=30))
def charge(ctx: Context, order: Order) -> Next:
    """Take the money, and have the order shipped."""
    if order.fail_first_charge and ctx.attempt == 1:
        raise PaymentDeclined(f"order {order.id}: the bank declined {order.amount}")
    return Next(ship.spec(order, tags=["order"]), result={"charged": order.amount, "receipt": ctx.idempotency_key})


@app.command("ship", retries=3, backoff=Jittered(Exponential()), timeout=timedelta(seconds=30))
async def ship(order: Order) -> dict[str, str]:
    """Send the parcel."""
    return {"order": order.id, "status": "shipped"}


@app.command("always_fails", retries=2, backoff=Constant(timedelta(milliseconds=200)))
def always_fails() -> None:
    """Fail every attempt, and end in the dead letter queue."""
    raise RuntimeError("this command fails on purpose")
