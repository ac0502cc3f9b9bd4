"""What a worker function meets: invocations with little time, SQS events, and queues of the emulator."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

from durex_core.aws.clients import client
from durex_core.aws.wake import WakeMessage
from durex_core.clock import monotonic_seconds


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


def wake(queue: str, depth: int = 0) -> str:
    """Return the body of a wake."""
    return WakeMessage(queue, depth).encode()


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

    def depths(self) -> list[int]:
        """Take out the wakes that can be received now, and return their depths."""
        return [WakeMessage.decode(body).depth for body in self.bodies()]

    def count(self, *, delayed: bool = False) -> int:
        """Return how many messages can be received now, or later."""
        name = f"ApproximateNumberOfMessages{'Delayed' if delayed else ''}"
        answer = client("sqs").get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(answer["Attributes"][name])


class Recorder:
    """Takes wakes and remembers them with their delays, in front of a queue or of none."""

    def __init__(self, *, works: bool = True) -> None:
        self.sent: list[tuple[str, int, float]] = []
        self._works = works

    def send(self, wakes: Sequence[tuple[WakeMessage, Any]]) -> bool:
        self.sent += [(message.queue, message.depth, delay.total_seconds()) for message, delay in wakes]
        return self._works


def as_json(answer: dict[str, Any]) -> Any:
    """Return the JSON in the body of an API Gateway answer."""
    return json.loads(answer["body"])
