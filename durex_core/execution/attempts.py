"""The turns of a command: its handler's, and that of the hook of its ending."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from durex_core.clock import monotonic_seconds
from durex_core.execution import attempt
from durex_core.execution.context import AsyncContext, Context
from durex_core.execution.middleware import Call, begins_async, wrapped
from durex_core.execution.surroundings import Surroundings
from durex_core.execution.turns import Limit, Turn, Turns
from durex_core.execution.writer import Writer
from durex_core.handlers.handler import Handler, Hook
from durex_core.model import Command
from durex_core.records import record
from durex_core.registry import Registry
from durex_core.rules.lifecycle import LIMITED_DELAY
from durex_core.rules.outcomes import Expired, Outcome, Released, Settlement


class Running:
    """A command between its claim and its settlement."""

    __slots__ = (
        "_claimed", "before_hook", "began_at_seconds", "claimed_at_seconds", "context", "handler", "refusals",
        "seconds", "turn", "within",
    )  # fmt: skip

    def __init__(self, command: Command, handler: Handler | None, within: timedelta | None, now_seconds: float) -> None:
        """Begin with a claimed command; `within` bounds its turns further than its own limits do."""
        self.context: Context | AsyncContext | None = None
        self.handler = handler
        self.within = within
        self.turn: Turn | None = None
        self.before_hook: Settlement | None = None
        self.claimed_at_seconds = now_seconds
        self.began_at_seconds: float | None = None
        self.seconds = 0.0
        self.refusals = 0
        self._claimed = command

    @property
    def command(self) -> Command:
        """The command, with what its attempt has told of itself."""
        return self._claimed if self.context is None else self.context.command

    @property
    def has_lost_lease(self) -> bool:
        """Whether this attempt is known not to own its command any more."""
        return self.context is not None and self.context.has_lost_lease

    @property
    def age_seconds(self) -> float:
        """How long ago it was claimed."""
        return monotonic_seconds() - self.claimed_at_seconds

    @property
    def time_left(self) -> timedelta | None:
        """How long its turns may still take, whatever its own limits are; None: as long as they like."""
        if self.within is None:
            return None
        return max(self.within - timedelta(seconds=self.age_seconds), timedelta(0))


@record
class Setting:
    """What all attempts of a runner have in common; `conclude` hears of the outcome of each handler's turn."""

    turns: Turns
    registry: Registry
    writer: Writer
    surroundings: Surroundings
    conclude: "Callable[[Running, Outcome], None]"


class HandlerTurn(Turn):
    """The turn of a command's handler, with the middleware around it, inside of the limits of this process."""

    __slots__ = ("_handler", "_holds_place", "_layers", "_running", "_setting")

    def __init__(self, setting: Setting, running: Running, handler: Handler) -> None:
        """Be ready to begin."""
        self._layers = tuple(setting.surroundings.middleware)
        super().__init__(setting.turns, is_async=begins_async(self._layers, inner=handler.is_async))
        self._setting = setting
        self._running = running
        self._handler = handler
        self._holds_place = False

    def opened(self) -> Outcome | None:
        """Take a place among those that the limits allow, if there is one, and make a context for the handler."""
        setting, running = self._setting, self._running
        command, limiter = running.command, setting.surroundings.limiter
        if not limiter.try_acquire(command.name):
            return Released("the limit of this process was reached", LIMITED_DELAY)
        kind = AsyncContext if self._handler.is_async else Context
        self.context = running.context = kind(command, setting.registry, setting.writer)
        self.crossings = self.turns.crossings() if self._layers else None
        with self.turns.lock:
            self._holds_place = not self.has_ended
        if not self._holds_place:
            limiter.release(command.name)
            return Released("it ended before it began")
        running.began_at_seconds = monotonic_seconds()
        limit = self.limit = limit_of(running, command)
        if limit is not None and limit.time <= timedelta(0):
            return limit.outcome  # its time was over while it stood in line
        setting.surroundings.observers.started(command)
        return None

    def call(self) -> Any:
        """Call the handler, through the middleware if there is any."""
        if self.crossings is None:
            return self._handle()
        assert self.context is not None
        inner = Call(self._handle, self._handler.is_async)
        return wrapped(inner, self._layers, self.context, self.crossings).function()

    def sort(self, value: Any) -> Outcome:
        """Read what the handler returned."""
        return attempt.returned(self._setting.registry, self._running.command, value)

    def failed(self, error: BaseException) -> Outcome:
        """Read what the handler raised."""
        return attempt.failed(error, self._handler.never_retry)

    def conclude(self, outcome: Outcome) -> None:
        """Give the place back, and tell of the outcome."""
        running, began_at_seconds = self._running, self._running.began_at_seconds
        if began_at_seconds is not None:
            running.seconds = monotonic_seconds() - began_at_seconds
        if self._holds_place:
            self._setting.surroundings.limiter.release(running.command.name)
        self._setting.conclude(running, outcome)

    def _handle(self) -> Any:
        handler, context = self._handler, self.context
        assert context is not None
        return handler.function(*handler.arguments(context, handler.decode(context.command.payload)))


class HookTurn(Turn):
    """The turn of the hook of a command's ending."""

    __slots__ = ("_conclude", "_hook", "_running", "_setting", "_settlement")

    def __init__(
        self,
        setting: Setting,
        running: Running,
        hook: Hook,
        settlement: Settlement,
        conclude: Callable[[Running, Settlement, Outcome], None],
    ) -> None:
        """Be ready to begin; `conclude` hears of the outcome, and of the settlement that the hook belongs to."""
        super().__init__(setting.turns, is_async=hook.is_async)
        # One of its own: the handler's may be cancelled.
        kind = AsyncContext if hook.is_async else Context
        self.context = running.context = kind(running.command, setting.registry, setting.writer, is_hook=True)
        self._setting = setting
        self._running = running
        self._hook = hook
        self._settlement = settlement
        self._conclude = conclude

    def opened(self) -> Outcome | None:
        """Name its limit: no deadline binds an ending."""
        self.limit = limit_of(self._running, self._running.command, with_deadline=False)
        return None

    def call(self) -> Any:
        """Call the hook."""
        context, hook = self.context, self._hook
        assert context is not None
        return hook.function(*hook.arguments(context, context.command.payload, self._settlement.error))

    def sort(self, value: Any) -> Outcome:
        """Read what the hook asked for."""
        return attempt.recovered(self._setting.registry, self._running.command, value)

    def failed(self, error: BaseException) -> Outcome:
        """Read what the hook raised."""
        return attempt.failed(error)

    def conclude(self, outcome: Outcome) -> None:
        """Tell of the outcome."""
        self._conclude(self._running, self._settlement, outcome)


def limit_of(running: Running, command: Command, *, with_deadline: bool = True) -> Limit | None:
    """Return the narrowest of a turn's limits, as it begins."""
    if command.timeout is None and command.deadline_at is None and running.within is None:
        return None
    times = [time for time in (command.timeout, running.time_left) if time is not None]
    limits = [Limit(time, attempt.timed_out(command, time)) for time in times]
    if with_deadline and command.deadline_at is not None and command.started_at is not None:
        # The database's clock began the attempt at its claim; it may have stood in line since.
        waited = timedelta(seconds=running.age_seconds)
        limits.append(Limit(command.deadline_at - command.started_at - waited, Expired()))
    return min(limits, key=lambda limit: limit.time) if limits else None
