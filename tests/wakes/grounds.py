"""Where wakes are sent and heard: in this process, in the simulation, and in an emulator of AWS."""

from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Any

from staging import wait_until

from durex_core.aws.wake import SqsWake, WakeMessage
from durex_core.local.bell import Bell, LocalWake
from durex_core.operations.wake import Wake
from durex_core.store.database import Database
from durex_core.testing.cloud.faults import Faults
from durex_core.testing.cloud.sqs import SimulatedSqs
from durex_core.testing.cloud.timeline import Timeline


class LocalGround:
    """A bell: whoever waits hears that there is work, and the database says the rest."""

    counts = False

    def __init__(self, database: Database) -> None:
        self._bell = Bell()
        self.wake: Wake = LocalWake(database, self._bell)

    def heard(self, _queue: str) -> list[int]:
        """Return a count for each ring since the last call."""
        rings = []
        while self._bell.wait(0):
            rings.append(1)
        return rings


class SqsGround:
    """Two queues, by a client of SQS: the simulated one or the emulator's."""

    counts = True

    def __init__(
        self, client: Any, urls: dict[str, str], now: Callable[[], datetime], wait: Callable[[float], None]
    ) -> None:
        self.client = client
        self.urls = urls
        self.now = now
        self.wait = wait
        self.wake: Wake = self.make(urls)

    def make(self, urls: dict[str, str]) -> SqsWake:
        """Build a wake, as another process does."""
        return SqsWake(urls, sqs=lambda: self.client, now=self.now)

    def heard(self, queue: str) -> list[int]:
        """Take the wakes that can be heard now, and return how many commands each tells of."""
        found: list[WakeMessage] = []
        while messages := self.client.receive_message(QueueUrl=self.urls[queue], MaxNumberOfMessages=10).get(
            "Messages"
        ):
            found += [WakeMessage.decode(message["Body"]) for message in messages]
        assert {wake.queue for wake in found} <= {queue}
        return sorted(wake.count for wake in found)

    def to_come(self, queue: str) -> int:
        """Return how many wakes will be heard later."""
        name = "ApproximateNumberOfMessagesDelayed"
        answer = self.client.get_queue_attributes(QueueUrl=self.urls[queue], AttributeNames=[name])
        return int(answer["Attributes"][name])

    def hears_within(self, queue: str, seconds: float) -> bool:
        self.wait(seconds)
        return bool(self.heard(queue))


def simulated(start: datetime) -> SqsGround:
    """Return the ground of the simulation."""
    timeline = Timeline(start)
    sqs = SimulatedSqs(timeline, Faults(), lambda _, effect: effect())
    urls = {name: sqs.make(name).url for name in ("q", "other")}
    return SqsGround(sqs, urls, lambda: timeline.now, lambda seconds: timeline.pass_until(timeline.seconds + seconds))


def emulated(client: Any, name: str, now: Callable[[], datetime]) -> SqsGround:
    """Return a ground of new queues in the emulator."""
    urls = {queue: client.create_queue(QueueName=f"{name}-{queue}")["QueueUrl"] for queue in ("q", "other")}
    return SqsGround(client, urls, now, lambda seconds: Event().wait(seconds) and None)


__all__ = ["LocalGround", "SqsGround", "emulated", "simulated", "wait_until"]
