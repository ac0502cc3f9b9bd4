"""Lambda: functions, their execution environments, what SQS invokes them with, and asynchronous invocations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from durex_core.records import record
from durex_core.testing.cloud.lives import Life, Process
from durex_core.testing.cloud.queues import Message, Queue
from durex_core.testing.cloud.world import World

Handler = Callable[[Any, "Invocation"], Any]
Done = Callable[["Ended"], None]

FIRST_CONCURRENCY = 5
MORE_IN_A_MINUTE = 300
MOST_CONCURRENCY = 1250
RETRIES_AFTER = (60.0, 120.0)

_LOOK_AGAIN_AFTER = 0.2
_POLL = 0.01


@record
class Ended:
    """How an invocation ended, as Lambda sees it: with an answer, or not."""

    answer: Any = None
    is_failed: bool = False


@dataclass(eq=False, slots=True)
class _Environment:
    name: str
    handler: Handler
    skew: float


class Invocation:
    """The context that a handler gets."""

    def __init__(self, world: World, name: str, deadline: float) -> None:
        """Name it, and say when Lambda ends it."""
        self.aws_request_id = name
        self._world = world
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends it."""
        return max(0, int((self._deadline - self._world.timeline.seconds) * 1000))


class Function:
    """A function, of which many environments may run, each with one invocation at a time.

    Attributes:
        running: how many invocations run, as Lambda counts them.
        most_running: how many did at most.
        pending: how many asynchronous invocations run or are yet to be retried.
        invocations: how many there were.
    """

    def __init__(self, world: World, name: str, timeout: float, make: Callable[[], Handler]) -> None:
        """Name it; `make` builds the handler of a new environment."""
        self.name = name
        self.timeout = timeout
        self.running = 0
        self.most_running = 0
        self.pending = 0
        self.invocations = 0
        self._world = world
        self._make = make
        self._idle: list[_Environment] = []
        self._environments = 0

    def invoke(self, event: Any, on_done: Done) -> None:
        """Invoke it; `on_done` hears of the end, which comes by the timeout at the latest."""
        self.invocations += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        environment = self._idle.pop() if self._idle else self._new_environment()
        _Run(self._world, self, environment, f"{self.name}#{self.invocations}", on_done).begin(event)

    def invoke_later(self, event: Any) -> None:
        """Invoke it asynchronously: a failed invocation is tried again after one minute, and after two more."""
        self.pending += 1
        self._world.timeline.after(_POLL, lambda: self._try(event, RETRIES_AFTER))

    def _try(self, event: Any, pauses: tuple[float, ...]) -> None:
        def done(ended: Ended) -> None:
            if ended.is_failed and pauses:
                self._world.timeline.after(pauses[0], lambda: self._try(event, pauses[1:]))
                return
            self.pending -= 1
            self._world.changed()

        self.invoke(event, done)

    def _new_environment(self) -> _Environment:
        self._environments += 1
        return _Environment(f"{self.name}-{self._environments}", self._make(), self._world.faults.skew())

    def ended(self, environment: _Environment | None) -> None:
        """Take note of an invocation's end; an environment that survived it serves the next one."""
        self.running -= 1
        if environment is not None:
            self._idle.append(environment)


class _Run:
    """One invocation in one environment."""

    def __init__(self, world: World, function: Function, environment: _Environment, name: str, on_done: Done) -> None:
        self._world = world
        self._function = function
        self._environment = environment
        self._name = name
        self._on_done = on_done
        self._deadline = world.timeline.seconds + function.timeout
        self._is_told = False
        self._answer: Any = None

    def begin(self, event: Any) -> None:
        environment = self._environment
        process = Process(self._name, environment.name, Life(self._deadline), environment.skew, on_end=self._end)
        context = Invocation(self._world, self._name, self._deadline)

        def code() -> None:
            answer = environment.handler(event, context)
            self._world.call("lambda:Answer", lambda: None)
            self._answer = answer

        self._world.start(process, code)
        self._world.timeline.at(self._deadline + _POLL, lambda: self._tell(Ended(is_failed=True), None))

    def _end(self, process: Process) -> None:
        if process.life.is_dead:
            return  # Lambda learns of it at the deadline: it waits for an answer until then.
        if process.error is not None:
            self._world.note(f"{self._name} raised {process.error!r}")
        self._tell(Ended(self._answer, is_failed=process.error is not None), self._environment)

    def _tell(self, ended: Ended, environment: _Environment | None) -> None:
        if self._is_told:
            return
        self._is_told = True
        self._function.ended(environment)
        self._on_done(ended)


class Mapping:
    """An event source mapping: invokes a function with the messages of a queue, and deletes those that it is done with.

    It begins with five invocations at a time and adds up to 300 in a minute, up to its maximum. Of a batch that
    reports failures, those messages alone come again; of one that fails as a whole, or names a message that was not
    in it, all do.
    """

    def __init__(
        self, world: World, queue: Queue, function: Function, *, batch_size: int = 10, maximum: int | None = None
    ) -> None:
        """Join a queue to a function."""
        self.maximum = maximum or MOST_CONCURRENCY
        self.running = 0
        self._world = world
        self._queue = queue
        self._function = function
        self._batch_size = batch_size
        self._busy_since = 0.0
        self._looks_at = -1.0
        queue.on_message = self._expect

    @property
    def allowed(self) -> int:
        """How many invocations may run now."""
        busy_for = self._world.timeline.seconds - self._busy_since
        return min(self.maximum, FIRST_CONCURRENCY + int(busy_for * MORE_IN_A_MINUTE / 60))

    def look(self) -> None:
        """Take what can be received and invoke the function with it."""
        now = self._world.timeline.seconds
        if self.running == 0:
            self._busy_since = now
        while self.running < self.allowed:
            messages = self._queue.receive(self._batch_size, now, pick=self._world.faults.pick)
            if not messages:
                return
            self._invoke(messages)
        if self.running < self.maximum:
            self._expect(_LOOK_AGAIN_AFTER)

    def _expect(self, delay: float) -> None:
        """Look when a message can be received; one look serves all that can be by then."""
        at = self._world.timeline.seconds + delay + _POLL
        if at != self._looks_at:
            self._looks_at = at
            self._world.timeline.at(at, self.look)

    def _invoke(self, messages: list[Message]) -> None:
        self.running += 1
        self._expect(self._queue.visibility)
        receipts = [(message.id, message.receipt) for message in messages]
        event = {"Records": [_record(self._queue, message) for message in messages]}
        self._world.note(f"{self._function.name} is invoked with {len(messages)} messages")
        self._function.invoke(event, lambda ended: self._done(receipts, ended))

    def _done(self, receipts: list[tuple[str, str]], ended: Ended) -> None:
        self.running -= 1
        failed = {message_id for message_id, _ in receipts}
        if not ended.is_failed:
            failed = _failures(ended.answer, failed)
        for message_id, receipt in receipts:
            if message_id not in failed:
                self._queue.delete(receipt)
        self._world.changed()
        self._expect(0.0)


def _failures(answer: Any, batch: set[str]) -> set[str]:
    """Return the ids of the messages that are to come again."""
    failed = {failure.get("itemIdentifier") for failure in (answer or {}).get("batchItemFailures", ())}
    return batch if failed - batch else failed


def _record(queue: Queue, message: Message) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.receives)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{queue.name}",
        "awsRegion": "us-east-1",
    }
