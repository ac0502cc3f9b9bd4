"""Wakes through SQS: one queue for each queue of commands.

A message says "this queue has work", never which. It is a hint: doubled, late or out of order it changes nothing but
latency.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durex_core.aws.clients import client

MAX_DELAY = timedelta(minutes=15)
"""The longest delay that SQS keeps a message back; what is due later is found by the tick."""

_VERSION = 1
_AT_ONCE = 10

_UNTIL_COMMIT = (timedelta(seconds=2), timedelta(seconds=60))

_log = logging.getLogger(__name__)


class MalformedWake(ValueError):
    """A message that no durex wrote; it belongs in the dead letter queue."""


@dataclass(frozen=True, slots=True)
class WakeMessage:
    """A wake; `depth` counts the commands in the chain, each enqueued or retried by the one before, that led to it."""

    queue: str
    depth: int = 0

    def encode(self) -> str:
        """Return the body of the message."""
        return json.dumps({"v": _VERSION, "queue": self.queue, "depth": self.depth})

    @classmethod
    def decode(cls, body: str) -> "WakeMessage":
        """Read the body of a message.

        Raises:
            MalformedWake: it is none of ours.
        """
        match _parsed(body):
            case {"v": 1, "queue": str(queue), "depth": int(depth)}:
                return cls(queue, depth)
            case {"v": 1, "queue": str(queue)}:
                return cls(queue)
        raise MalformedWake(f"not a wake: {body[:200]!r}")


class SqsWake:
    """Sends wakes."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        """Take the URL of each queue's wakes."""
        self._urls = dict(urls)

    def ready(self, due: Mapping[str, timedelta]) -> None:
        """Say that these queues have work, now or after a delay; a failed send costs time, never a command."""
        self.send([(WakeMessage(queue), delay) for queue, delay in due.items()])

    def soon(self, due: Mapping[str, timedelta], connection: object) -> None:  # noqa: ARG002  SQS knows no transactions
        """Say the same before a commit: a moment later, and again for a transaction that takes its time."""
        for wait in _UNTIL_COMMIT:
            self.ready({queue: max(delay, wait) for queue, delay in due.items()})

    def send(self, wakes: Sequence[tuple[WakeMessage, timedelta]]) -> bool:
        """Send wakes, each after its delay, and say whether all are on their way; the tick finds what the others meant.

        What is due later than SQS can keep a message back is left to the tick.
        """
        by_queue: dict[str, list[dict[str, Any]]] = {}
        for message, delay in wakes:
            if delay <= MAX_DELAY:
                by_queue.setdefault(message.queue, []).append(_entry(message, delay))
        # One queue that takes nothing must not keep the others' wakes from going out.
        sent = [self._send_to(queue, entries) for queue, entries in by_queue.items()]
        return all(sent)

    def _send_to(self, queue: str, entries: Sequence[dict[str, Any]]) -> bool:
        url = self._urls.get(queue)
        if url is None:
            _log.error("no wake queue is known for the command queue %r; was it deployed? its work waits", queue)
            return False
        sent = [_send(queue, url, chunk) for chunk in _chunks(entries)]
        return all(sent)


class SqsDeadLetters:
    """Keeps messages that no durex wrote where a person finds them."""

    def __init__(self, url: str) -> None:
        """Take the URL of the dead letter queue."""
        self._url = url

    def reject(self, body: str) -> bool:
        """Put a message's body into the dead letter queue, and say whether it is there."""
        try:
            client("sqs").send_message(QueueUrl=self._url, MessageBody=body)
        except Exception:  # noqa: BLE001  whatever it is, the message stays where it was and comes again
            _log.exception("a message that is no wake could not be put into the dead letter queue")
            return False
        return True


def _send(queue: str, url: str, entries: Sequence[dict[str, Any]]) -> bool:
    try:
        answer = client("sqs").send_message_batch(
            QueueUrl=url, Entries=[{"Id": str(number), **entry} for number, entry in enumerate(entries)]
        )
    except Exception:  # noqa: BLE001  the command is stored: to fail its caller now would be to lie
        _log.exception("%s wakes for queue %r were not sent; the tick finds its work", len(entries), queue)
        return False
    refused = answer.get("Failed", [])
    if refused:
        _log.error("SQS took %s wakes for queue %r not: %s; the tick finds its work", len(refused), queue, refused)
    return not refused


def _entry(message: WakeMessage, delay: timedelta) -> dict[str, Any]:
    """Return what SQS is told of a message; a delay is rounded up, for a wake that comes too early finds nothing."""
    return {"MessageBody": message.encode(), "DelaySeconds": max(0, math.ceil(delay.total_seconds()))}


def _chunks(entries: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    return (entries[start : start + _AT_ONCE] for start in range(0, len(entries), _AT_ONCE))


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
