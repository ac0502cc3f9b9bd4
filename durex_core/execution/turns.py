"""Turns: calls of an application's code, handlers and hooks, each of which comes to exactly one outcome.

Only so many are called side by side; others stand in line. A turn may be ended from several sides at once (the call
returns, its time is up, the worker stops): the first one decides, the others change nothing.
"""

import asyncio
import logging
import threading
from abc import abstractmethod
from collections.abc import Sequence
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from durex_core import current
from durex_core.clock import monotonic_seconds
from durex_core.execution.context import AsyncContext, Context
from durex_core.execution.crossings import Crossings
from durex_core.execution.line import Line
from durex_core.execution.loop import Loop
from durex_core.execution.threads import Task, Threads
from durex_core.execution.watch import Watch
from durex_core.records import record
from durex_core.rules.ahead import Tally
from durex_core.rules.outcomes import Outcome, Released

_log = logging.getLogger(__name__)


@record
class Limit:
    """How long a turn may take, and what it comes to if it takes longer."""

    time: timedelta
    outcome: Outcome


class Turn(Task):
    """One call: what to call, how to read what it returns, and who is to hear of the outcome.

    Attributes:
        is_async: whether it calls a coroutine function.
        context: what its function is given, once it is opened.
        crossings: where it may go from a thread to the loop, or back, if it may.
        has_begun: whether it is, or was, one of those that are called side by side; it stands in line until then.
        waits_since_seconds: since when it stands in line, by the monotonic clock.
        ends_at_seconds: when its limit is over, by the same clock.
    """

    __slots__ = (
        "context", "coroutine", "crossings", "ends_at_seconds", "has_begun", "has_ended", "is_async", "limit", "turns",
        "waits_since_seconds",
    )  # fmt: skip

    def __init__(self, turns: "Turns", *, is_async: bool) -> None:
        """Be ready to begin."""
        super().__init__()
        self.turns = turns
        self.context: Context | AsyncContext | None = None
        self.is_async = is_async
        self.crossings: Crossings | None = None
        self.has_begun = False
        self.has_ended = False
        self.limit: Limit | None = None
        self.waits_since_seconds = 0.0
        self.ends_at_seconds = 0.0
        self.coroutine: asyncio.Task[None] | None = None

    @abstractmethod
    def opened(self) -> Outcome | None:
        """Do what comes right before the call: see to its context and its limit.

        An outcome says that there is to be no call.
        """

    @abstractmethod
    def call(self) -> Any:
        """Call the function; if it is a coroutine function, return what is to be awaited."""

    @abstractmethod
    def sort(self, value: Any) -> Outcome:
        """Read what the function returned."""

    @abstractmethod
    def failed(self, error: BaseException) -> Outcome:
        """Read what the function, or `sort`, raised."""

    @abstractmethod
    def conclude(self, outcome: Outcome) -> None:
        """Hear of the outcome."""

    def end(self) -> None:
        """Hear that its time is up."""
        assert self.limit is not None
        self.turns.stop(self, self.limit.outcome)

    @property
    def still_runs(self) -> bool:
        """Whether something of it goes on, on the loop or beside a coroutine, whether or not it has ended."""
        is_on_loop = self.coroutine is not None and not self.coroutine.done()
        return is_on_loop or (self.crossings is not None and self.crossings.has_threads)

    def cancel(self) -> None:
        """Cancel what it runs on the loop; call it there."""
        if self.crossings is not None:
            self.crossings.cancel()
        if self.coroutine is not None:
            self.coroutine.cancel()

    def work(self) -> None:
        """Call a plain function, in a thread."""
        self.turns.take(self)


class Turns:
    """Where turns are taken: threads for plain functions, an event loop for coroutine functions.

    Attributes:
        loop: the event loop.
        lock: is held while a turn begins or ends.
    """

    def __init__(self, concurrency: int) -> None:
        """Start the event loop; at most `concurrency` threads follow when they are needed."""
        self.loop = Loop()
        self.lock = threading.Lock()
        self._watch = Watch()
        self._line = Line(concurrency, lambda turn: self.loop.call(self._start_coroutine, turn))
        self._threads = Threads(concurrency, self._line, self.lock, self._watch)
        self._outlived: list[Turn] = []

    @property
    def stuck(self) -> int:
        """How many functions outlived their limit and still run."""
        stuck_threads = self._threads.stuck
        with self.lock:
            return stuck_threads + sum(turn.still_runs for turn in self._outlived)

    @property
    def waits_since_seconds(self) -> float | None:
        """Since when the first in line stands there, by the monotonic clock; None: nobody does."""
        with self.lock:
            first = self._line.first()
            return None if first is None else first.waits_since_seconds

    @property
    def tally(self) -> Tally:
        """How many calls came to an end of their own, and how long there was somebody to call."""
        with self.lock:
            return self._line.tally(monotonic_seconds())

    def crossings(self) -> Crossings:
        """Return the crossings of a new turn."""
        return Crossings(self.loop.asyncio)

    def begin(self, turns: Sequence[Turn], *, is_urgent: bool = False) -> None:
        """Let turns begin, in this order, as far as there is room; the others stand in line, the urgent ones first."""
        with self.lock:
            self._line.join(turns, monotonic_seconds(), is_urgent=is_urgent)
            self._proceed()

    def take(self, turn: Turn) -> None:
        """Call a plain function here and now."""
        if turn.has_ended:
            return
        # Threads are used again: what a handler leaves in context variables is not for the next one.
        outcome = copy_context().run(self._called, turn)
        if self.is_first_end(turn):
            self._conclude(turn, outcome)
            # Its thread takes the next one by itself.
            with self.lock:
                self._line.leave(outcome)

    def is_first_end(self, turn: Turn) -> bool:
        """Say whether this call, of all those that may come, is the one that ends the turn."""
        with self.lock:
            is_first, turn.has_ended = not turn.has_ended, True
            return is_first

    def stop(self, turn: Turn, outcome: Outcome) -> None:
        """Let a turn come to this outcome, whether or not its call still runs, unless it has come to another one."""
        if not self.is_first_end(turn):
            return
        # Before the outcome is read: what the call tells from here on is refused, and nothing of it gets lost.
        if turn.context is not None:
            turn.context.cancel()
        if turn.has_begun:
            self.loop.call(turn.cancel)
            # Before its place is free: whoever takes that needs another thread.
            if not turn.is_async:
                self._threads.give_up(turn)
            self._keep_in_sight(turn)
        self._conclude(turn, outcome)
        if turn.has_begun:
            self._leave(outcome)

    def withdraw(self, turn: Turn, outcome: Outcome) -> None:
        """Let a turn that stands in line come to this outcome; one that has begun goes on."""
        with self.lock:
            is_withdrawn = not (turn.has_begun or turn.has_ended)
            turn.has_ended |= is_withdrawn
        if is_withdrawn:
            self._conclude(turn, outcome)

    def abandon(self, turn: Turn) -> None:
        """Tell a call that its lease is lost: it may end as it likes, nobody hears of it."""
        if turn.context is None:
            self.stop(turn, Released("its lease was lost before it began"))
        else:
            turn.context.lose_lease()
            self.loop.call(turn.cancel)

    def close(self) -> None:
        """Stop the threads and the event loop; call it when no turn is left."""
        self._watch.close()
        self._threads.close()
        self.loop.close()

    def _leave(self, outcome: Outcome) -> None:
        """Let the next ones begin in the place of a turn that ended."""
        with self.lock:
            self._line.leave(outcome)
            self._proceed()

    def _proceed(self) -> None:
        if self._line.proceed() is not None:
            self._threads.call()

    def _conclude(self, turn: Turn, outcome: Outcome) -> None:
        if turn.limit is not None:
            self._watch.discard(turn)
        try:
            turn.conclude(outcome)
        except BaseException:  # noqa: BLE001  a lease that runs out is better than a thread less
            _log.exception("the outcome of a turn could not be taken")

    def _called(self, turn: Turn) -> Outcome:
        try:
            return self._opened(turn) or turn.sort(turn.call())
        except BaseException as error:  # noqa: BLE001  a handler may raise anything; the thread must go on
            return turn.failed(error)

    def _opened(self, turn: Turn) -> Outcome | None:
        """Open a turn, and keep an eye on its time."""
        outcome = turn.opened()
        context, limit = turn.context, turn.limit
        if outcome is not None or context is None:
            return outcome
        current.enter(context)
        if limit is not None:
            turn.ends_at_seconds = monotonic_seconds() + limit.time.total_seconds()
            context.ends_in(limit.time)
            self._watch.add(turn)
        return None

    def _keep_in_sight(self, turn: Turn) -> None:
        """Remember a call that may go on: in a thread of its own, or in a coroutine that does not yield."""
        with self.lock:
            self._outlived = [*(each for each in self._outlived if each.still_runs), turn]

    def _start_coroutine(self, turn: Turn) -> None:
        if not turn.has_ended:
            turn.coroutine = self.loop.asyncio.create_task(self._run_coroutine(turn))

    async def _run_coroutine(self, turn: Turn) -> None:
        try:
            outcome = self._opened(turn) or turn.sort(await turn.call())
        except BaseException as error:  # noqa: BLE001  a handler may raise anything; the loop must go on
            outcome = turn.failed(error)
        if self.is_first_end(turn):
            self._conclude(turn, outcome)
            self._leave(outcome)
