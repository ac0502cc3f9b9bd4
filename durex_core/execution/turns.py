"""Turns: calls of an application's code, handlers and hooks, each of which comes to exactly one outcome.

A turn may be ended from several sides at once (the call returns, its time is up, the worker stops): the first one
decides, the others change nothing.
"""

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durex_core import current
from durex_core.execution import attempt
from durex_core.execution.context import AsyncContext, Context
from durex_core.execution.crossings import Crossings
from durex_core.execution.loop import Loop
from durex_core.execution.middleware import Call
from durex_core.execution.threads import Task, Threads
from durex_core.rules.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a turn may take, and what it comes to if it takes longer."""

    time: timedelta
    outcome: Outcome


class Turn:
    """One call: what to call, how to read what it returns, and who is to hear of the outcome."""

    def __init__(
        self,
        context: Context | AsyncContext,
        sort: Callable[[Any], Outcome],
        conclude: Callable[[Outcome], None],
        crossings: Crossings,
        never_retry: tuple[type[BaseException], ...] = (),
    ) -> None:
        """Be ready to begin; exceptions of `never_retry` are failures for good."""
        self.context = context
        self.sort = sort
        self.conclude = conclude
        self.crossings = crossings
        self.never_retry = never_retry
        self.has_ended = False
        self.task: Task | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.coroutine: asyncio.Task[None] | None = None
        self._lock = threading.Lock()

    def end(self) -> bool:
        """Say whether this call, of all those that may come, is the one that ends the turn."""
        with self._lock:
            is_first, self.has_ended = not self.has_ended, True
            return is_first

    def cancel(self) -> None:
        """Cancel what it runs on the loop; call it there."""
        self.crossings.cancel()
        if self.coroutine is not None:
            self.coroutine.cancel()


class Turns:
    """Where turns are taken: threads for plain functions, an event loop for coroutine functions."""

    def __init__(self, concurrency: int) -> None:
        """Start the event loop; at most `concurrency` threads follow when they are needed."""
        self.loop = Loop()
        self._threads = Threads(concurrency)
        self._lock = threading.Lock()
        self._outlived: list[Crossings] = []

    @property
    def stuck(self) -> int:
        """How many plain functions outlived their limit and still run."""
        with self._lock:
            return self._threads.stuck + sum(crossings.has_threads for crossings in self._outlived)

    def crossings(self) -> Crossings:
        """Return the crossings of a new turn."""
        return Crossings(self.loop.asyncio)

    def begin(self, turn: Turn, call: Call, limit: Limit | None) -> None:
        """Start a call, and a timer for it."""
        if limit is not None:
            turn.context.ends_in(limit.time)
        if call.is_async:
            self.loop.call(self._start_coroutine, turn, call)
        else:
            turn.task = self._threads.run(lambda: self._run_function(turn, call))
        if limit is not None:
            self.loop.call(self._set_timer, turn, limit)

    def end(self, turn: Turn, outcome: Outcome) -> None:
        """Let a turn come to this outcome, unless it has come to another one."""
        if turn.end():
            if turn.timer is not None:
                self.loop.call(turn.timer.cancel)
            turn.conclude(outcome)

    def stop(self, turn: Turn, outcome: Outcome) -> None:
        """Let a turn come to this outcome while its call still runs, unless it has come to another one."""
        if not turn.end():
            return
        if turn.timer is not None:
            self.loop.call(turn.timer.cancel)
        # Before the outcome is read: what the call tells from here on is refused, and nothing of it gets lost.
        turn.context.cancel()
        self.loop.call(turn.cancel)
        if turn.task is not None:
            # Before its slot is free: whoever takes that needs another thread.
            self._threads.give_up(turn.task)
        with self._lock:
            still = [crossings for crossings in self._outlived if crossings.has_threads]
            self._outlived = [*still, turn.crossings]
        turn.conclude(outcome)

    def abandon(self, turn: Turn) -> None:
        """Tell a call that its lease is lost: it may end as it likes, nobody hears of it."""
        turn.context.lose_lease()
        self.loop.call(turn.cancel)

    def close(self) -> None:
        """Stop the threads and the event loop; call it when no turn is left."""
        self._threads.close()
        self.loop.close()

    def _run_function(self, turn: Turn, call: Call) -> None:
        if turn.has_ended:
            return
        # Threads are used again: what a handler leaves in context variables is not for the next one.
        self.end(turn, copy_context().run(_outcome, turn, call))

    def _start_coroutine(self, turn: Turn, call: Call) -> None:
        if not turn.has_ended:
            turn.coroutine = self.loop.asyncio.create_task(self._run_coroutine(turn, call))

    async def _run_coroutine(self, turn: Turn, call: Call) -> None:
        try:
            with current.running(turn.context):
                outcome = turn.sort(await call.function())
        except BaseException as error:  # noqa: BLE001  a handler may raise anything; the loop must go on
            outcome = attempt.failed(error, turn.never_retry)
        self.end(turn, outcome)

    def _set_timer(self, turn: Turn, limit: Limit) -> None:
        turn.timer = self.loop.asyncio.call_later(limit.time.total_seconds(), self.stop, turn, limit.outcome)
        if turn.has_ended:
            turn.timer.cancel()


def _outcome(turn: Turn, call: Call) -> Outcome:
    try:
        with current.running(turn.context):
            return turn.sort(call.function())
    except BaseException as error:  # noqa: BLE001  a handler may raise anything; the thread must go on
        return attempt.failed(error, turn.never_retry)
