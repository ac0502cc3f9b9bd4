"""The messages of one invocation: which of them are wakes, and which are to come again."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from durex_core.aws.wake import MalformedWake, WakeMessage
from durex_core.records import record

Event = Mapping[str, Any]


@record
class Received:
    """A batch of SQS messages: the wakes among them by message id, and the bodies of those that no durex wrote."""

    wakes: Mapping[str, WakeMessage]
    malformed: Mapping[str, str]

    @property
    def depth(self) -> int:
        """The depth of the shortest chain that led here: whatever else comes, a fresh wake is no runaway."""
        return min((wake.depth for wake in self.wakes.values()), default=0)

    @property
    def count(self) -> int:
        """About how many commands the wakes stand for."""
        return sum(wake.count for wake in self.wakes.values())

    def reject_malformed(self, reject: Callable[[str], bool]) -> list[str]:
        """Hand over what is no wake; return the ids of the messages that nobody took."""
        return [message_id for message_id, body in self.malformed.items() if not reject(body)]


def receive(event: Event) -> Received:
    """Sort the messages of an SQS event."""
    wakes: dict[str, WakeMessage] = {}
    malformed: dict[str, str] = {}
    for message in event["Records"]:
        try:
            wakes[message["messageId"]] = WakeMessage.decode(message["body"])
        except MalformedWake:
            malformed[message["messageId"]] = message["body"]
    return Received(wakes, malformed)


def failures(message_ids: Iterable[str]) -> dict[str, Any]:
    """Return what tells SQS which messages of the batch to deliver again."""
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in message_ids]}
