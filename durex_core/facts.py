"""What a handler may know of the attempt it runs in."""

import logging
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from durex_core.clock import monotonic_seconds
from durex_core.model import ChildResult, Command

_HANDLERS = logging.getLogger("durex.handlers")


class AttemptFacts:
    """The facts of one attempt, shared by `Context` and `AsyncContext`."""

    __slots__ = ("_ends_at_seconds", "_is_cancelled", "_logger", "command")

    is_for_coroutines: ClassVar[bool | None] = None

    def __init__(self, command: Command) -> None:
        """Tell of a claimed command."""
        self.command = command
        self._is_cancelled = False
        self._ends_at_seconds: float | None = None
        self._logger: CommandLogger | None = None

    @property
    def id(self) -> UUID:
        """The command's id."""
        return self.command.id

    @property
    def name(self) -> str:
        """The command's name."""
        return self.command.name

    @property
    def queue(self) -> str:
        """The queue it stands in."""
        return self.command.queue

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.command.attempt

    @property
    def run(self) -> int:
        """The number of this run of a command that repeats, from 1."""
        return self.command.run

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure now is for good."""
        return self.command.attempt > self.command.retries

    @property
    def parent_id(self) -> UUID | None:
        """The id of the command that enqueued this one, if one did."""
        return self.command.parent_id

    @property
    def correlation_id(self) -> str | None:
        """What ties this command to others of one piece of business."""
        return self.command.correlation_id

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context that the command belongs to."""
        return self.command.traceparent

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The values beside the payload."""
        return self.command.metadata

    @property
    def children(self) -> tuple[ChildResult, ...]:
        """How the commands ended that this one waited for (`SpawnThen`), in the order of their specs."""
        return self.command.children

    @property
    def idempotency_key(self) -> str:
        """A name for this run to hand to other systems: the same in every attempt, different for every command."""
        return f"{self.command.id}:{self.command.run}"

    @property
    def remaining_time(self) -> timedelta | None:
        """How long this attempt may still take, by its timeout, its deadline and its invocation; None: no limit."""
        if self._ends_at_seconds is None:
            return None
        return max(timedelta(0), timedelta(seconds=self._ends_at_seconds - monotonic_seconds()))

    @property
    def logger(self) -> "CommandLogger":
        """A logger whose records carry the command's id, name, attempt and correlation id."""
        if self._logger is None:
            self._logger = CommandLogger(_HANDLERS, _ids(self.command))
        return self._logger

    @property
    def is_cancelled(self) -> bool:
        """Whether this attempt's work is no longer wanted: out of time, cancelled, or its lease is lost.

        It asks nobody: what another process cancelled is noticed at the next heartbeat. See `raise_if_cancelled`.
        """
        return self._is_cancelled

    def cancel(self) -> None:
        """Mark the work as no longer wanted."""
        self._is_cancelled = True

    def ends_in(self, limit: timedelta) -> None:
        """Remember by when the attempt must have ended."""
        self._ends_at_seconds = monotonic_seconds() + limit.total_seconds()


class CommandLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the ids of a command to what its caller adds."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the ids into the record's extra values."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def _ids(command: Command) -> dict[str, Any]:
    return {
        "command_id": str(command.id),
        "command_name": command.name,
        "attempt": command.attempt,
        "correlation_id": command.correlation_id,
    }
