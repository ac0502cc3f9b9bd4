"""Wakes through SQS: one queue for each queue of commands.

A message says "this queue has work", never which. It is a hint: doubled, late or out of order it changes nothing but
latency. None may be the last one lost, though: whatever becomes ready has a wake and, shortly after it, an echo, both
on their way before the commit wherever that is possible. What is due later than SQS keeps a message back has an alarm.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from durex_core.aws.clients import client
from durex_core.aws.promises import Promises
from durex_core.clock import utc_now
from durex_core.records import record
from durex_core.rules.wakes import BUCKET, ECHO_AFTER, LONGEST_DELAY, Due, bucket_of, echo_of, next_bucket

BY_MESSAGE = LONGEST_DELAY - 2 * ECHO_AFTER
"""Up to this delay messages do; from there on it is an alarm, since the echo must fit into SQS's longest delay, too."""

_VERSION = 1
_AT_ONCE = 10
_CHUNK = 10

_NOW = timedelta(0)
_UNTIL_COMMIT = (timedelta(seconds=2), timedelta(seconds=60))

_log = logging.getLogger(__name__)


class MalformedWake(ValueError):
    """A message that no durex wrote; it belongs in the dead letter queue."""


@record
class WakeMessage:
    """A wake for about `count` commands.

    `depth` counts the commands in the chain, each enqueued or retried by the one before, that led to it.
    """

    queue: str
    count: int = 1
    depth: int = 0

    def encode(self) -> str:
        """Return the body of the message."""
        return json.dumps({"v": _VERSION, "queue": self.queue, "count": self.count, "depth": self.depth})

    @classmethod
    def decode(cls, body: str) -> "WakeMessage":
        """Read the body of a message.

        Raises:
            MalformedWake: it is none of ours.
        """
        match _parsed(body):
            case {"v": 1, "queue": str(queue), **rest}:
                count, depth = rest.get("count", 1), rest.get("depth", 0)
                if isinstance(count, int) and isinstance(depth, int):
                    return cls(queue, max(1, count), depth)
        raise MalformedWake(f"not a wake: {body[:200]!r}")


class Alarms(Protocol):
    """Whoever can have the tick called at a later time."""

    def book(self, bucket: datetime) -> bool:
        """See to it that a bucket has its alarm, and say whether that is certain. May ask the database."""
        ...

    def create(self, bucket: datetime) -> bool:
        """Set the alarm of a bucket without asking anybody, and say whether it is set."""
        ...


class SqsWake:
    """Sends wakes."""

    def __init__(
        self,
        urls: Mapping[str, str],
        *,
        alarms: Alarms | None = None,
        sqs: Callable[[], Any] = lambda: client("sqs"),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Take the URL of each queue's wakes, and who sets alarms (default: a tick of each minute finds what is due).

        `sqs` returns a client of SQS, `now` this machine's time.
        """
        self._urls = dict(urls)
        self._alarms = alarms
        self._sqs = sqs
        self._now = now
        self._promises = Promises()

    def ahead(self, due: Mapping[str, Due]) -> bool:
        """See to it that these queues are looked at when their work is due, or shortly after; say if it is certain."""
        # All are tried: one queue that takes nothing must not keep the others' wakes from going out.
        certain = [self._ahead(queue, each) for queue, each in due.items()]
        return all(certain)

    def ready(self, due: Mapping[str, Due]) -> bool:
        """Wake the queues that have work now, the more of their workers the more work there is."""
        sent = [self._send(queue, _chunked(queue, each)) for queue, each in due.items() if each.delay <= _NOW]
        return all(sent)

    def soon(self, due: Mapping[str, Due], connection: object) -> bool:  # noqa: ARG002  SQS knows no transactions
        """Wake before a commit: a moment later, and again for a transaction that takes its time."""
        sent = [self._soon(queue, each) for queue, each in due.items()]
        return all(sent)

    def _ahead(self, queue: str, due: Due) -> bool:
        now = self._now()
        moment = now + due.delay
        if due.delay > BY_MESSAGE:
            return self._alarm(queue, moment, now)
        wanted = [moment, echo_of(moment)] if due.delay > _NOW else [echo_of(moment)]
        missing = [each for each in wanted if not self._promises.holds(queue, now, each)]
        if not self._send(queue, [(WakeMessage(queue, due.count, due.depth), each - now) for each in missing]):
            return self._by_next_alarm(now)
        self._promises.add(queue, missing)
        return True

    def _alarm(self, queue: str, moment: datetime, now: datetime) -> bool:
        """Have the tick called before a moment; if that is refused, have the queue looked at as late as SQS can."""
        if self._alarms is None or self._alarms.book(bucket_of(moment)):
            return True
        latest = now + LONGEST_DELAY
        if self._promises.holds(queue, now, latest):
            return True
        is_sent = self._send(queue, [(WakeMessage(queue), LONGEST_DELAY)])
        self._promises.add(queue, [latest] if is_sent else [])
        return is_sent

    def _by_next_alarm(self, now: datetime) -> bool:
        """Have the tick called as soon as it can be: it sends the wakes that SQS did not take."""
        return self._alarms is not None and self._alarms.create(next_bucket(now))

    def _soon(self, queue: str, due: Due) -> bool:
        if due.delay > BY_MESSAGE:
            return self._ahead(queue, due)
        message = WakeMessage(queue, due.count, due.depth)
        first, second = _UNTIL_COMMIT
        delays = (max(due.delay, first), max(due.delay + ECHO_AFTER, second))
        is_sent = self._send(queue, [(message, delay) for delay in delays])
        # The commit may come later than both.
        latest = next_bucket(self._now() + due.delay + BUCKET)
        is_alarmed = self._alarms is not None and self._alarms.book(latest)
        return is_sent or is_alarmed

    def _send(self, queue: str, messages: Sequence[tuple[WakeMessage, timedelta]]) -> bool:
        """Send wakes, each after its delay, and say whether all are on their way."""
        url = self._urls.get(queue)
        if url is None:
            # To try again would not help: the first sweep after its deployment wakes it.
            _log.error("no wake queue is known for the command queue %r; was it deployed? its work waits", queue)
            return True
        entries = [_entry(message, delay) for message, delay in messages]
        sent = [self._send_batch(queue, url, batch) for batch in _batches(entries)]
        return all(sent)

    def _send_batch(self, queue: str, url: str, entries: Sequence[dict[str, Any]]) -> bool:
        try:
            answer = self._sqs().send_message_batch(
                QueueUrl=url, Entries=[{"Id": str(number), **entry} for number, entry in enumerate(entries)]
            )
        except Exception:  # noqa: BLE001  the command is stored, or will be: to fail its caller now would be to lie
            _log.exception("%s wakes for queue %r were not sent", len(entries), queue)
            return False
        refused = answer.get("Failed", [])
        if refused:
            _log.error("SQS took %s wakes for queue %r not: %s", len(refused), queue, refused)
        return not refused


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


def _chunked(queue: str, due: Due) -> list[tuple[WakeMessage, timedelta]]:
    """Return wakes that share the commands among them: one for each chunk, as many as go out in one call at most."""
    number = min(due.wakes, math.ceil(due.count / _CHUNK))
    shares = [due.count // number + (position < due.count % number) for position in range(number)]
    return [(WakeMessage(queue, share, due.depth), _NOW) for share in shares]


def _entry(message: WakeMessage, delay: timedelta) -> dict[str, Any]:
    """Return what SQS is told of a message; a delay is rounded up, for a wake that comes too early finds nothing."""
    return {"MessageBody": message.encode(), "DelaySeconds": max(0, math.ceil(delay.total_seconds()))}


def _batches(entries: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    return (entries[start : start + _AT_ONCE] for start in range(0, len(entries), _AT_ONCE))


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
