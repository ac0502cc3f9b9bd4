"""What a worker function meets: invocations with little time, SQS events, and queues of the emulator."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from durex_core.aws.clients import client
from durex_core.aws.wake import WakeMessage
from durex_core.clock import monotonic_seconds
from durex_core.rules.wakes import Due


class Invocation:
    """An invocation that Lambda ends after some seconds."""

    def __init__(self, seconds: float) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self._deadline = monotonic_seconds() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - monotonic_seconds()) * 1000))


def sqs_event(*bodies: str) -> dict[str, Any]:
    """Return an event of SQS; the ids of its messages are m0, m1, …"""
    return {"Records": [_record(f"m{number}", body) for number, body in enumerate(bodies)]}


def wake(queue: str, *, count: int = 1, depth: int = 0) -> str:
    """Return the body of a wake."""
    return WakeMessage(queue, count, depth).encode()


def failed(answer: dict[str, Any]) -> list[str]:
    """Return the ids of the messages that are to come again."""
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def _record(message_id: str, body: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1773119783312"},
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:durex-wake",
        "awsRegion": "us-east-1",
    }


class Queue:
    """A queue of the emulator's SQS."""

    def __init__(self) -> None:
        self._made = client("sqs").create_queue(QueueName=f"test-{uuid.uuid4().hex}")["QueueUrl"]
        self.url = self._made

    def delete(self) -> None:
        client("sqs").delete_queue(QueueUrl=self._made)

    def bodies(self) -> list[str]:
        """Take out the messages that can be received now."""
        found: list[str] = []
        while messages := client("sqs").receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            found += [message["Body"] for message in messages]
        return found

    def wakes(self) -> list[WakeMessage]:
        """Take out the wakes that can be received now."""
        return [WakeMessage.decode(body) for body in self.bodies()]

    def depths(self) -> list[int]:
        """Take out the wakes that can be received now, and return their depths."""
        return [wake.depth for wake in self.wakes()]

    def count(self, *, delayed: bool = False) -> int:
        """Return how many messages can be received now, or later."""
        name = f"ApproximateNumberOfMessages{'Delayed' if delayed else ''}"
        answer = client("sqs").get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(answer["Attributes"][name])


class Recorder:
    """Remembers what it is told, and says whether it could be passed on; the first `refusals` promises could not."""

    def __init__(self, *, promises: bool = True, rings: bool = True, refusals: int = 0) -> None:
        self.promised: list[tuple[str, Due]] = []
        self.rung: list[tuple[str, Due]] = []
        self.promises = promises
        self.rings = rings
        self._refusals = refusals

    def ahead(self, due: Mapping[str, Due]) -> bool:
        """Hear of what will be ready after a commit, or is."""
        self.promised += due.items()
        self._refusals -= 1
        return self.promises and self._refusals < 0

    def ready(self, due: Mapping[str, Due]) -> bool:
        """Hear of what is ready."""
        self.rung += due.items()
        return self.rings

    def soon(self, due: Mapping[str, Due], connection: object) -> bool:  # noqa: ARG002  one is as good as another
        """Hear of what a caller is yet to commit."""
        return self.ahead(due)

    def forget(self) -> None:
        """Begin anew."""
        self.promised, self.rung = [], []


def as_json(answer: dict[str, Any]) -> Any:
    """Return the JSON in the body of an API Gateway answer."""
    return json.loads(answer["body"])
