"""SQS with the limits of its documentation, as a client of boto3 sees it.

Delays of at most 900 s, batches of at most ten entries and 1 MiB in all, entries that fail one by one.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from durex_core.records import record
from durex_core.testing.cloud.errors import ServiceError
from durex_core.testing.cloud.faults import Faults, Way
from durex_core.testing.cloud.queues import Message, Queue
from durex_core.testing.cloud.timeline import Timeline

LONGEST_DELAY = 900
MOST_AT_ONCE = 10
MOST_BYTES = 1024 * 1024
LONGEST_VISIBILITY = 43_200

Answer = dict[str, Any]
T = TypeVar("T")
Calls = Callable[[str, Callable[[], Answer]], Answer]


@record
class _Entry:
    """What is sent: one message, or one of a batch."""

    body: str
    delay: float


class SimulatedSqs:
    """The queues of an account, and the methods of boto3's client that durex and its tests use."""

    def __init__(self, timeline: Timeline, faults: Faults, calls: Calls) -> None:
        """Keep time with a line; each call goes through `calls`, by its name and with its effect."""
        self.queues: dict[str, Queue] = {}
        self.sent = 0
        self._timeline = timeline
        self._faults = faults
        self._calls = calls

    def make(self, name: str, **options: Any) -> Queue:
        """Make a queue; its options are the attributes of `Queue`."""
        queue = Queue(name, **options)
        self.queues[queue.url] = queue
        return queue

    def send_message(self, *, QueueUrl: str, MessageBody: str, DelaySeconds: int = 0) -> Answer:  # noqa: N803  boto3's names
        """Send one message."""

        def effect() -> Answer:
            queue = self._queue(QueueUrl)
            _check_delay(DelaySeconds)
            if len(MessageBody.encode()) > MOST_BYTES:
                raise ServiceError(
                    "InvalidParameterValue", f"One or more parameters are invalid: over {MOST_BYTES} bytes"
                )
            return self._take(queue, _Entry(MessageBody, DelaySeconds))

        return self._calls("sqs:SendMessage", effect)

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Answer]) -> Answer:  # noqa: N803  boto3's names
        """Send at most ten messages; each of them is taken or refused by itself."""

        def effect() -> Answer:
            queue = self._queue(QueueUrl)
            _check_batch(Entries)
            _check_size([entry["MessageBody"] for entry in Entries])
            taken, refused = [], []
            for entry in Entries:
                try:
                    _check_delay(entry.get("DelaySeconds", 0))
                except ServiceError as error:
                    refused.append({"Id": entry["Id"], "SenderFault": True, **error.response["Error"]})
                else:
                    answer = self._take(queue, _Entry(entry["MessageBody"], entry.get("DelaySeconds", 0)))
                    taken.append({"Id": entry["Id"], **answer})
            return {"Successful": taken, "Failed": refused} if refused else {"Successful": taken}

        return self._calls("sqs:SendMessageBatch", effect)

    def receive_message(
        self,
        *,
        QueueUrl: str,  # noqa: N803  boto3's names
        MaxNumberOfMessages: int = 1,  # noqa: N803
        VisibilityTimeout: float | None = None,  # noqa: N803
        **_: Any,
    ) -> Answer:
        """Receive at most ten messages."""

        def effect() -> Answer:
            if not 1 <= MaxNumberOfMessages <= MOST_AT_ONCE:
                raise ServiceError(
                    "InvalidParameterValue", f"MaxNumberOfMessages is {MaxNumberOfMessages}, not 1 to 10"
                )
            found = self._queue(QueueUrl).receive(
                MaxNumberOfMessages, self._timeline.seconds, visibility=VisibilityTimeout, pick=self._faults.pick
            )
            return {"Messages": [_as_received(message) for message in found]} if found else {}

        return self._calls("sqs:ReceiveMessage", effect)

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> Answer:  # noqa: N803  boto3's names
        """Delete a message that was received."""

        def effect() -> Answer:
            self._queue(QueueUrl).delete(ReceiptHandle)
            return {}

        return self._calls("sqs:DeleteMessage", effect)

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> Answer:  # noqa: N803
        """Let a message that is in flight be visible again so many seconds from now."""

        def effect() -> Answer:
            if not 0 <= VisibilityTimeout <= LONGEST_VISIBILITY:
                raise ServiceError("InvalidParameterValue", f"VisibilityTimeout is {VisibilityTimeout}, not 0 to 43200")
            now = self._timeline.seconds
            self._queue(QueueUrl).change_visibility(ReceiptHandle, now + VisibilityTimeout, now)
            return {}

        return self._calls("sqs:ChangeMessageVisibility", effect)

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Sequence[str]) -> Answer:  # noqa: N803  boto3's names
        """Return how many messages there are."""

        def effect() -> Answer:
            queue, now = self._queue(QueueUrl), self._timeline.seconds
            counts = {
                "ApproximateNumberOfMessages": len(queue.visible(now)),
                "ApproximateNumberOfMessagesDelayed": len(queue.delayed(now)),
                "ApproximateNumberOfMessagesNotVisible": queue.in_flight(now),
            }
            return {"Attributes": {name: str(counts[name]) for name in AttributeNames}}

        return self._calls("sqs:GetQueueAttributes", effect)

    def _queue(self, url: str) -> Queue:
        if url not in self.queues:
            raise ServiceError("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
        return self.queues[url]

    def _take(self, queue: Queue, entry: _Entry) -> Answer:
        """Keep a message, unless it is to be lost on its way."""
        number, now = self.sent, self._timeline.seconds
        self.sent += 1
        queue.sent += 1
        way = self._faults.way_of(number)
        if way is Way.LOST and queue.is_lossless:
            way = Way.STRAIGHT
        late = self._faults.lateness if way is Way.LATE else 0.0
        answer = {"MessageId": f"message-{number}"}
        if way is not Way.LOST:
            for copy in range(2 if way is Way.DOUBLED else 1):
                message = Message(answer["MessageId"], entry.body, now, now + entry.delay + late, 2 * number + copy)
                queue.put(message, now)
        return answer


def _check_delay(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_DELAY:
        raise ServiceError(
            "InvalidParameterValue", f"Value {seconds} for parameter DelaySeconds is invalid: it must be 0 to 900."
        )


def _check_batch(entries: Sequence[Answer]) -> None:
    if not entries:
        raise ServiceError("AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one entry.")
    if len(entries) > MOST_AT_ONCE:
        raise ServiceError(
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", f"The maximum is 10; there are {len(entries)}."
        )
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise ServiceError("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Two entries have the same id.")


def _check_size(bodies: Sequence[str]) -> None:
    size = sum(len(body.encode()) for body in bodies)
    if size > MOST_BYTES:
        raise ServiceError(
            "AWS.SimpleQueueService.BatchRequestTooLong", f"Batch requests cannot be longer than {MOST_BYTES}: {size}."
        )


def _as_received(message: Message) -> Answer:
    return {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "Body": message.body,
        "Attributes": {"ApproximateReceiveCount": str(message.receives)},
    }
