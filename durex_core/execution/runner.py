"""The runner: claimed commands side by side, each ending in exactly one settlement.

A command that ends other than well gets a second turn for the hook of its ending, if its handler has one; what the hook
asks for is stored with the end. A slot is free again when its settlement is durable.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from durex_core.clock import monotonic_seconds
from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.execution import attempt
from durex_core.execution.commits import Written
from durex_core.execution.context import AsyncContext, Context
from durex_core.execution.logs import log_end, log_loss
from durex_core.execution.middleware import Call, wrapped
from durex_core.execution.surroundings import Surroundings
from durex_core.execution.turns import Limit, Turn, Turns
from durex_core.execution.writer import Writer
from durex_core.handlers.handler import Handler, Hook
from durex_core.model import Command, Ending, ErrorInfo, Recovery
from durex_core.registry import Registry
from durex_core.rules.endings import ending_of, hook_failed, recovered
from durex_core.rules.lifecycle import LIMITED_DELAY, decide
from durex_core.rules.outcomes import Expired, Failed, HandlerMissing, Outcome, Released, Returned, Settlement

_log = logging.getLogger(__name__)

# The database said nothing against the outcome: it could not be reached, or others held it up for too long.
_ABSENT = (DatabaseUnavailable, DatabaseBusy)

# The handler's outcome, what its hook asked for, and what undoes its steps.
_MOST_REFUSALS = 3

Settled = Callable[[Settlement, Written], None]


class Running:
    """A command between its claim and its settlement."""

    def __init__(self, context: Context | AsyncContext, handler: Handler | None, within: timedelta | None) -> None:
        """Begin with a claimed command; `within` bounds its turns further than its own limits do."""
        self.context = context
        self.handler = handler
        self.within = within
        self.key: tuple[UUID, int] = (context.command.id, context.command.lease_number)
        self.turn: Turn | None = None
        self.before_hook: Settlement | None = None
        self.claimed_at_seconds = monotonic_seconds()
        self.seconds = 0.0
        self.refusals = 0

    @property
    def command(self) -> Command:
        """The command, with what its attempt has told of itself."""
        return self.context.command

    @property
    def elapsed_seconds(self) -> float:
        """How long ago it was claimed."""
        return monotonic_seconds() - self.claimed_at_seconds


class Runner:
    """Runs at most `concurrency` attempts at a time and settles them through the writer."""

    def __init__(
        self,
        registry: Registry,
        writer: Writer,
        *,
        concurrency: int,
        on_settled: Settled,
        random: Random,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Start the event loop; `on_settled` hears of each settlement and what came of it."""
        self.concurrency = concurrency
        self._registry = registry
        self._writer = writer
        self._on_settled = on_settled
        self._random = random
        self._surroundings = surroundings or Surroundings()
        self._turns = Turns(concurrency)
        # A command may be claimed anew while an old attempt of it still runs here.
        self._running: dict[tuple[UUID, int], Running] = {}
        self._changed = threading.Condition()

    @property
    def running(self) -> list[Running]:
        """The attempts that have not been settled yet."""
        with self._changed:
            return list(self._running.values())

    @property
    def free(self) -> int:
        """How many more attempts may start now."""
        with self._changed:
            return self.concurrency - len(self._running)

    @property
    def stuck(self) -> int:
        """How many handlers outlived their timeout and still run."""
        return self._turns.stuck

    def start(self, command: Command, *, within: timedelta | None = None) -> None:
        """Begin the attempt of a claimed command, or its ending; `within` bounds it further than its timeout does."""
        handler = self._registry.get(command.name)
        running = Running(self._context(command, is_async=bool(handler and handler.is_async)), handler, within)
        with self._changed:
            self._running[running.key] = running
        ending = ending_of(command)
        if ending is not None:
            self._conclude(running, ending)
        elif handler is None:
            self._conclude(running, HandlerMissing())
        elif not self._surroundings.limiter.try_acquire(command.name):
            self._conclude(running, Released("the limit of this process was reached", LIMITED_DELAY))
        else:
            self._attempt(running, handler)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait until every attempt is settled, or for the timeout; say whether all are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout_seconds)

    def release(self, reason: str) -> None:
        """Give back what is still running, without counting the attempts."""
        for running in self.running:
            if running.turn is not None:
                self._turns.stop(running.turn, Released(reason))

    def abandon(self, running: Running) -> None:
        """Tell an attempt that its lease is lost."""
        if running.turn is not None:
            self._turns.abandon(running.turn)

    def close(self) -> None:
        """Stop the threads and the event loop, and the writer when it has written all; call it when idle."""
        self._writer.close()
        self._turns.close()

    def _context(self, command: Command, *, is_async: bool, is_hook: bool = False) -> Context | AsyncContext:
        return (AsyncContext if is_async else Context)(command, self._registry, self._writer, is_hook=is_hook)

    def _attempt(self, running: Running, handler: Handler) -> None:
        """Begin the turn of a handler."""
        context = running.context

        def function() -> Any:
            return handler.function(*handler.arguments(context, handler.decode(context.command.payload)))

        def sort(value: Any) -> Outcome:
            return attempt.returned(self._registry, context.command, value)

        around, crossings = self._surroundings, self._turns.crossings()
        turn = running.turn = Turn(context, sort, partial(self._attempted, running), crossings, handler.never_retry)
        call = wrapped(Call(function, handler.is_async), around.middleware, context, crossings)
        around.observers.started(context.command)
        self._turns.begin(turn, call, _limit(running))

    def _attempted(self, running: Running, outcome: Outcome) -> None:
        """Take the outcome of a handler's turn."""
        running.seconds = running.elapsed_seconds
        self._surroundings.limiter.release(running.command.name)
        self._conclude(running, outcome)

    def _conclude(self, running: Running, outcome: Outcome) -> None:
        """Settle a command, after its hook if its ending has one."""
        settlement = decide(running.command, outcome, self._random.random())
        if settlement.hook is None or running.context.has_lost_lease:
            self._settle(running, settlement)
        elif running.handler is None and ending_of(running.command) is not None:
            # Another worker may know the hook: only one that knows the handler can tell that it has none.
            self._settle(running, hook_failed(settlement, _unknown(running.command), retryable=True))
        elif hook := _hook(running.handler, settlement.hook):
            self._recover(running, settlement, hook)
        else:
            self._settle(running, settlement)

    def _recover(self, running: Running, settlement: Settlement, hook: Hook) -> None:
        """Begin the turn of a hook, with a context of its own: the handler's may be cancelled."""
        running.before_hook = settlement
        context = running.context = self._context(running.command, is_async=hook.is_async, is_hook=True)

        def function() -> Any:
            return hook.function(*hook.arguments(context, context.command.payload, settlement.error))

        def sort(value: Any) -> Outcome:
            return attempt.recovered(self._registry, context.command, value)

        conclude = partial(self._recovered, running, settlement)
        turn = running.turn = Turn(context, sort, conclude, self._turns.crossings())
        self._turns.begin(turn, Call(function, hook.is_async), _limit(running, with_deadline=False))

    def _recovered(self, running: Running, settlement: Settlement, outcome: Outcome) -> None:
        """Take the outcome of a hook's turn."""
        match outcome:
            case Returned(children=children):
                self._settle(running, recovered(settlement, children))
            case Failed(error=error, retryable=retryable):
                self._settle(running, hook_failed(settlement, error, retryable=retryable))
            case _:
                error = ErrorInfo(type(outcome).__name__, getattr(outcome, "reason", "its hook did not return"))
                self._settle(running, hook_failed(settlement, error, retryable=True))

    def _settle(self, running: Running, settlement: Settlement) -> None:
        written = self._writer.settle(settlement)
        written.add_done_callback(partial(self._settled, running, settlement))

    def _settled(self, running: Running, settlement: Settlement, done: Future[Written]) -> None:
        error = done.exception()
        if error is not None and not isinstance(error, _ABSENT) and running.refusals < _MOST_REFUSALS:
            self._settle_refused(running, settlement, error)
            return
        written = Written(held=False) if error else done.result()
        try:
            self._tell(running, settlement, written, error)
        finally:
            # Where a log goes is the user's affair: were it to raise, the slot is free all the same.
            with self._changed:
                del self._running[running.key]
                self._changed.notify_all()
            self._on_settled(settlement, written)

    def _tell(self, running: Running, settlement: Settlement, written: Written, error: BaseException | None) -> None:
        """Tell the log and the observers what came of a settlement."""
        if written.held:
            log_end(settlement)
            self._surroundings.observers.settled(settlement, running.seconds)
        else:
            log_loss(settlement, error)
            if error is not None:
                self._surroundings.observers.store_failed("settle", error)

    def _settle_refused(self, running: Running, settlement: Settlement, error: BaseException) -> None:
        """The database refused the outcome itself: the attempt failed, or its hook did, and that much can be stored."""
        self._surroundings.observers.store_failed("settle", error)
        _log.error("the settlement of command %s was refused: %s", settlement.command.id, error)
        running.refusals += 1
        refused = attempt.describe(error)
        before_hook = running.before_hook
        if before_hook is not None and settlement.recovery is not None and settlement.recovery.error is None:
            self._settle(running, hook_failed(before_hook, refused, retryable=True))
        elif running.refusals == 1 and before_hook is None:
            self._conclude(running, Failed(refused, how="refused"))
        else:
            # It is what was to follow the failure that is refused: better an end without it than none.
            self._settle(running, replace(settlement, children=(), recovery=Recovery(error=refused)))


def _limit(running: Running, *, with_deadline: bool = True) -> Limit | None:
    """Return the narrowest of a turn's limits."""
    command = running.command
    times = [time for time in (command.timeout, _time_left(running)) if time is not None]
    limits = [Limit(time, attempt.timed_out(command, time)) for time in times]
    if with_deadline and command.deadline_at is not None and command.started_at is not None:
        limits.append(Limit(command.deadline_at - command.started_at, Expired()))
    return min(limits, key=lambda limit: limit.time, default=None)


def _time_left(running: Running) -> timedelta | None:
    if running.within is None:
        return None
    return max(running.within - timedelta(seconds=running.elapsed_seconds), timedelta(0))


def _hook(handler: Handler | None, ending: Ending) -> Hook | None:
    if handler is None:
        return None
    return handler.on_recover if ending is Ending.FAILED else handler.on_expired


def _unknown(command: Command) -> ErrorInfo:
    return ErrorInfo(
        "HandlerMissing", f"no handler named {command.name!r} is registered in the worker of queue {command.queue!r}"
    )
