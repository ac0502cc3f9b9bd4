"""The orders of the demonstration: what is requested, how far it has come, and whether it ended as it should."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from durex_core.model import State
from functions.commands import Order
from functions.commands.demo.client import Answer, Client

ORDERS = (
    Order(id="A-101", amount=1_999),
    Order(id="A-102", amount=450),
    Order(id="A-103", amount=7_200, fail_first_charge=True),
    Order(id="A-104", amount=1_250),
    Order(id="A-105", amount=89),
    Order(id="A-106", amount=3_300, fail_first_charge=True),
    Order(id="A-107", amount=5_400, refuse_parcel=True),
)
STAGES = ("process_order", "reserve", "charge", "ship")
UNDOING = ("refund", "restock")
_BEFORE_THE_REST = 4
_CHARGE = STAGES.index("charge")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was sent, in words, and its answer."""

    name: str
    about: str
    answer: Answer


class Journey:
    """A command that was POSTed and those that came out of it, each as it was last read."""

    def __init__(self, label: str, stages: tuple[str, ...], first: dict[str, Any]) -> None:
        """Begin with the first command; the stages name all that are to come."""
        self.label = label
        self.stages = stages
        self.commands = [first]
        self.undoing: list[dict[str, Any]] | None = None

    @property
    def all(self) -> list[dict[str, Any]]:
        """Every command that it has led to so far."""
        return [*self.commands, *(self.undoing or [])]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        if self.has_failed:
            return self.undoing is not None and all(State(command["state"]).is_terminal for command in self.undoing)
        return self.has_gone_on and len(self.commands) == len(self.stages)

    @property
    def is_completed(self) -> bool:
        """Whether every stage was."""
        return self.is_over and not self.has_failed

    @property
    def is_undone(self) -> bool:
        """Whether a stage failed for good, and all before it was undone, one command after another."""
        undoing = self.undoing or []
        names = tuple(command["name"] for command in undoing)
        if not self.is_over or names != UNDOING or any(command["state"] != State.COMPLETED for command in undoing):
            return False
        refund, restock = undoing
        return datetime.fromisoformat(refund["finished_at"]) <= datetime.fromisoformat(restock["started_at"])

    @property
    def has_gone_on(self) -> bool:
        """Whether the last stage so far completed."""
        return bool(self.commands[-1]["state"] == State.COMPLETED)

    @property
    def has_failed(self) -> bool:
        """Whether a stage failed for good."""
        return State(self.commands[-1]["state"]).is_terminal and not self.has_gone_on

    @property
    def was_declined(self) -> bool:
        """Whether the bank declined at first."""
        return bool(self.commands[_CHARGE]["attempt"] > 1)

    @property
    def seconds(self) -> float:
        """How long it took by the database's clock, from the creation of the first command to the end of the last."""
        first, last = self.commands[0]["created_at"], self.all[-1]["finished_at"]
        return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


class Flow:
    """The requests of the demonstration, and the journeys that they began."""

    def __init__(self, client: Client) -> None:
        """Speak to the API."""
        self._client = client
        self.orders: list[Journey] = []
        self.failure: Journey | None = None
        self.enqueued: list[Answer] = []
        self.again: Answer | None = None
        self.refused: Answer | None = None

    def requests(self) -> Iterator[Sent]:
        """Send one request after the other, and tell of each."""
        for order in ORDERS[:_BEFORE_THE_REST]:
            yield self._order(order)
        yield self._always_fails()
        yield self._same_order_again(ORDERS[0])
        for order in ORDERS[_BEFORE_THE_REST:]:
            yield self._order(order)
        yield self._bad_order()

    @property
    def journeys(self) -> list[Journey]:
        """All that have begun."""
        return [*self.orders, *([self.failure] if self.failure else [])]

    @property
    def is_over(self) -> bool:
        """Whether every journey is."""
        return all(journey.is_over for journey in self.journeys)

    def look(self) -> None:
        """Read every command that may have moved."""
        for journey in self.journeys:
            if not journey.is_over:
                self._follow(journey)

    def faults(self) -> list[str]:
        """Return what did not end as it should."""
        first = {"id": self.orders[0].commands[0]["id"], "created": False}
        expected = {
            "an order was not shipped": all(journey.is_completed for journey in self._orders(refused=False)),
            "a declined charge was not tried again": self._declined_were_retried(),
            "the order of the refused parcel was not undone": self._refused_were_undone(),
            "the same POST made another command": _is(self.again, HTTPStatus.OK, first),
            "the bad order was not refused": _is(self.refused, HTTPStatus.UNPROCESSABLE_ENTITY),
            "always_fails is not in the dead letter queue": self._failure_is_kept(),
        }
        return [fault for fault, is_well in expected.items() if not is_well]

    @property
    def undone(self) -> list[Journey]:
        """The orders that were undone because their parcel was refused."""
        return [journey for journey in self._orders(refused=True) if journey.is_undone]

    def _orders(self, *, refused: bool) -> list[Journey]:
        """Return the orders whose parcel the carrier refuses, or the others."""
        return [journey for order, journey in self._sent() if order.refuse_parcel == refused]

    def _sent(self) -> Iterator[tuple[Order, Journey]]:
        return zip(ORDERS, self.orders, strict=True)

    def _declined_were_retried(self) -> bool:
        declined = [journey for order, journey in self._sent() if order.fail_first_charge]
        return all(journey.is_completed and journey.was_declined for journey in declined)

    def _refused_were_undone(self) -> bool:
        return self.undone == self._orders(refused=True)

    def _failure_is_kept(self) -> bool:
        return self.failure is not None and self.failure.commands[0]["state"] == State.DEAD_LETTER

    def _order(self, order: Order) -> Sent:
        answer = self._post("process_order", order.model_dump(), key=order.id)
        self.orders.append(Journey(order.id, STAGES, self._client.get(answer.body["id"]).body))
        return Sent("process_order", f"{order.id} for {order.amount:,}", answer)

    def _always_fails(self) -> Sent:
        answer = self._post("always_fails")
        self.failure = Journey("always_fails", ("always_fails",), self._client.get(answer.body["id"]).body)
        return Sent("always_fails", "raises at every attempt", answer)

    def _same_order_again(self, order: Order) -> Sent:
        self.again = self._client.post("process_order", order.model_dump(), key=order.id)
        return Sent("process_order", f"{order.id} again, with the same key", self.again)

    def _bad_order(self) -> Sent:
        self.refused = self._client.post("process_order", {"id": "A-108", "amount": -5})
        return Sent("process_order", "A-108 for −5", self.refused)

    def _post(self, name: str, payload: Any = None, *, key: str | None = None) -> Answer:
        answer = self._client.post(name, payload, key=key)
        if answer.status != HTTPStatus.CREATED:
            raise RuntimeError(f"POST {name} was answered with {answer.status}: {answer.body}")
        self.enqueued.append(answer)
        return answer

    def _follow(self, journey: Journey) -> None:
        """Read the last stage again, and then either the next one or what undoes those before."""
        if journey.undoing is None:
            journey.commands[-1] = self._again(journey.commands[-1])
        if journey.has_failed:
            journey.undoing = [self._again(command) for command in journey.undoing or self._children(journey)]
        elif journey.has_gone_on and not journey.is_over:
            journey.commands += self._children(journey)

    def _again(self, command: dict[str, Any]) -> dict[str, Any]:
        return self._client.get(command["id"]).body

    def _children(self, journey: Journey) -> list[dict[str, Any]]:
        """Return what came out of the last stage, and was stored with its end; what was registered last comes first."""
        found: list[dict[str, Any]] = self._client.children(journey.commands[-1]["id"]).body["commands"]
        return found


def _is(answer: Answer | None, status: HTTPStatus, body: dict[str, Any] | None = None) -> bool:
    return answer is not None and answer.status == status and (body is None or answer.body == body)
