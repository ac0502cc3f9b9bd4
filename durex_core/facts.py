"""What a handler may know of the attempt it runs in."""

import threading
from uuid import UUID

from durex_core.model import Command


class AttemptFacts:
    """The facts of one attempt, shared by `Context` and `AsyncContext`."""

    __slots__ = ("_cancelled", "command")

    def __init__(self, command: Command) -> None:
        """Tell of a claimed command."""
        self.command = command
        self._cancelled = threading.Event()

    @property
    def id(self) -> UUID:
        """The command's id."""
        return self.command.id

    @property
    def name(self) -> str:
        """The command's name."""
        return self.command.name

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.command.attempt

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure now is for good."""
        return self.command.attempt > self.command.retries

    @property
    def correlation_id(self) -> str | None:
        """What ties this command to others of one piece of business."""
        return self.command.correlation_id

    @property
    def idempotency_key(self) -> str:
        """A name for this run to hand to other systems: the same in every attempt, different for every command."""
        return f"{self.command.id}:{self.command.run}"

    @property
    def is_cancelled(self) -> bool:
        """Whether this attempt's work is no longer wanted: out of time, or its lease is lost. Look at it in loops."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Mark the work as no longer wanted."""
        self._cancelled.set()
