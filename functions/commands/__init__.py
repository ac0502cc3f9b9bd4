"""The example application: an order is reserved, charged and shipped, or all that is undone; one command always fails.

`process_order` accepts an order and begins a sequence: `reserve` → `charge` → `ship`, each the next one's cause. A
command and its successor commit together, so that an order is never lost between two of them and never charged twice
by durex itself. `reserve` and `charge` say how they are undone: where a parcel cannot be shipped, `refund` follows, and
then `restock`.
"""

from datetime import timedelta

from pydantic import BaseModel, PositiveInt

from durex_core import Context, Durex
from durex_core.backoff import Constant, Exponential, Jittered
from durex_core.errors import NonRetryable
from durex_core.results import ContinueSequence, Next

app = Durex(
    defaults={"retries": 3, "backoff": Jittered(Exponential()), "timeout": timedelta(seconds=30), "tags": ["order"]}
)


class Order(BaseModel):
    """What a customer ordered; the last two are there to show a retry and a saga."""

    id: str
    amount: PositiveInt
    fail_first_charge: bool = False
    refuse_parcel: bool = False


class Payment(BaseModel):
    """Money that was taken."""

    order: str
    amount: PositiveInt
    receipt: str


class PaymentDeclined(Exception):
    """The bank said no; another attempt may go through."""


class ParcelRefused(NonRetryable):
    """The carrier said no, and will say so again."""


@app.command("process_order")
def process_order(ctx: Context, order: Order) -> Next:
    """Accept an order, and have it reserved, charged and shipped."""
    following = reserve.spec(order, sequence=["charge", "ship"])
    return Next(following, result={"order": order.id, "accepted_by": ctx.name})


@app.command("reserve", queue="stock")
def reserve(ctx: Context, order: Order) -> ContinueSequence:
    """Set the goods aside."""
    ctx.compensate_with(restock.spec(order))
    return ContinueSequence(reserved=True)


@app.command("charge", backoff=Constant(timedelta(milliseconds=500)))
def charge(ctx: Context, order: Order) -> ContinueSequence:
    """Take the money."""
    payment = Payment(order=order.id, amount=order.amount, receipt=ctx.idempotency_key)
    ctx.compensate_with(refund.spec(payment))  # first: to refund what was not taken does no harm, to keep it does
    if order.fail_first_charge and ctx.attempt == 1:
        raise PaymentDeclined(f"order {order.id}: the bank declined {order.amount}")
    return ContinueSequence(charged=payment.amount, receipt=payment.receipt)


@app.command("ship")
async def ship(order: Order) -> dict[str, str]:
    """Send the parcel."""
    if order.refuse_parcel:
        raise ParcelRefused(f"order {order.id}: the carrier does not take this parcel")
    return {"order": order.id, "status": "shipped"}


@app.command("refund", queue="charge")
def refund(payment: Payment) -> dict[str, str | int]:
    """Give the money back; done because a later step failed."""
    return {"order": payment.order, "refunded": payment.amount}


@app.command("restock", queue="stock")
def restock(order: Order) -> dict[str, str]:
    """Put the goods back; done because a later step failed."""
    return {"order": order.id, "status": "back in stock"}


@app.command("always_fails", retries=2, backoff=Constant(timedelta(milliseconds=200)), tags=[])
def always_fails() -> None:
    """Fail every attempt, and end in the dead letter queue."""
    raise RuntimeError("this command fails on purpose")
