"""Queues of messages as SQS keeps them: at least once, in no certain order.

A message that was received is kept from others for the visibility timeout. One that was received too often goes to the
dead letter queue. At most 120,000 messages of a queue are in flight.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_IN_FLIGHT = 120_000
_WINDOW = 50


@dataclass(eq=False, slots=True)
class Message:
    """A message in a queue.

    `visible_at` is when it can be received, for the first time or again; `receives` counts how often it was.
    """

    id: str
    body: str
    sent_at: float
    visible_at: float
    number: int
    receives: int = 0
    receipt: str = ""
    is_gone: bool = False


@dataclass(eq=False)
class Queue:
    """A standard queue.

    Attributes:
        name: its name, and the last part of its URL.
        visibility: for how many seconds a message that was received is kept from others.
        most_receives: how often a message is received before it goes to the dead letter queue.
        dead_letters: that queue.
        most_in_flight: how many messages may be in flight.
        is_lossless: whether none of its messages is ever lost on its way, whatever the weather.
        on_message: hears when a message can be received, in how many seconds.
    """

    name: str
    visibility: float = 30.0
    most_receives: int | None = None
    dead_letters: "Queue | None" = None
    most_in_flight: int = MOST_IN_FLIGHT
    is_lossless: bool = False
    on_message: Callable[[float], None] | None = None
    sent: int = 0
    live: dict[str, Message] = field(default_factory=dict)
    _waiting: list[tuple[float, int, Message]] = field(default_factory=list)
    _landings: list[tuple[float, int, Message]] = field(default_factory=list)
    _flying: set[Message] = field(default_factory=set)
    _receipts: int = 0

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"https://sqs.simulated/{self.name}"

    def put(self, message: Message, now: float) -> None:
        """Take a message."""
        self.live[f"{message.id}/{message.number}"] = message
        heapq.heappush(self._waiting, (message.visible_at, message.number, message))
        if self.on_message is not None:
            self.on_message(message.visible_at - now)

    def in_flight(self, now: float) -> int:
        """Return how many messages were received and are neither deleted nor visible again."""
        self._land(now)
        return len(self._flying)

    def visible(self, now: float) -> list[Message]:
        """Return the messages that can be received."""
        return [message for message in self.live.values() if message.visible_at <= now]

    def delayed(self, now: float) -> list[Message]:
        """Return the messages that can be received for the first time later."""
        return [message for message in self.live.values() if message.visible_at > now and not message.receipt]

    def receive(
        self, most: int, now: float, *, visibility: float | None = None, pick: Callable[[int], int] | None = None
    ) -> list[Message]:
        """Hand out at most so many messages; what was received too often goes to the dead letter queue instead."""
        self._land(now)
        ready: list[Message] = []
        while self._waiting and self._waiting[0][0] <= now and len(ready) < most + _WINDOW:
            message = heapq.heappop(self._waiting)[2]
            if not message.is_gone:
                ready.append(message)
        handed: list[Message] = []
        while ready and len(handed) < most and len(self._flying) < self.most_in_flight:
            message = ready.pop(pick(len(ready)) if pick else 0)
            if self.most_receives is not None and message.receives >= self.most_receives:
                self._bury(message, now)
                continue
            self._hand_out(message, now + (self.visibility if visibility is None else visibility))
            handed.append(message)
        for message in ready:
            heapq.heappush(self._waiting, (message.visible_at, message.number, message))
        return handed

    def delete(self, receipt: str) -> None:
        """Forget a message, if this is its latest receipt; an older one is taken and changes nothing."""
        message = self.live.get(receipt.partition("#")[0])
        if message is not None and message.receipt == receipt:
            self._drop(message)

    def change_visibility(self, receipt: str, visible_at: float, now: float) -> None:
        """Let a message that is in flight be visible again at another time."""
        message = self.live.get(receipt.partition("#")[0])
        if message is not None and message.receipt == receipt and message.visible_at > now:
            self._fly(message, visible_at)

    def _hand_out(self, message: Message, visible_at: float) -> None:
        self._receipts += 1
        message.receives += 1
        message.receipt = f"{message.id}/{message.number}#{self._receipts}"
        self._fly(message, visible_at)

    def _fly(self, message: Message, visible_at: float) -> None:
        message.visible_at = visible_at
        self._flying.add(message)
        heapq.heappush(self._landings, (visible_at, message.number, message))

    def _land(self, now: float) -> None:
        """Make visible again what nobody deleted in time, and forget what was."""
        while self._landings and self._landings[0][0] <= now:
            visible_at, _, message = heapq.heappop(self._landings)
            if message in self._flying and message.visible_at == visible_at:
                self._flying.remove(message)
                heapq.heappush(self._waiting, (visible_at, message.number, message))

    def _bury(self, message: Message, now: float) -> None:
        self._drop(message)
        if self.dead_letters is not None:
            self.dead_letters.put(Message(message.id, message.body, message.sent_at, now, message.number), now)

    def _drop(self, message: Message) -> None:
        message.is_gone = True
        self._flying.discard(message)
        self.live.pop(f"{message.id}/{message.number}", None)
