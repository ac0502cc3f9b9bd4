"""The runner: attempts side by side, each ending in exactly one settlement.

Plain functions run in threads, coroutine functions on one event loop, which is also the timer for timeouts. An attempt
may come to its end from several sides at once (the handler returns, its time is up, the worker stops): the first one
decides, the others change nothing. A slot is free again when its settlement is durable.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from uuid import UUID

from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.execution import attempt
from durex_core.execution.context import AsyncContext, Context
from durex_core.execution.threads import Task, Threads
from durex_core.execution.writer import Writer
from durex_core.model import Command, State
from durex_core.registry import Handler, Registry
from durex_core.rules.lifecycle import Crashed, HandlerMissing, Outcome, Released, Settlement, decide

_log = logging.getLogger(__name__)

_REFUSED = "refused"
_CANCEL_SECONDS = 2.0

# The database said nothing against the outcome: it could not be reached, or others held it up for too long.
_ABSENT = (DatabaseUnavailable, DatabaseBusy)

Settled = Callable[[Settlement, bool], None]


class Running:
    """An attempt between its claim and its settlement."""

    def __init__(self, command: Command, context: Context | AsyncContext) -> None:
        """Begin with a claimed command."""
        self.command = command
        self.context = context
        self.timer: asyncio.TimerHandle | None = None
        self.task: Task | None = None
        self.coroutine: asyncio.Task[None] | None = None
        self.has_ended = False
        self._lock = threading.Lock()

    @property
    def key(self) -> tuple[UUID, int]:
        """What tells it apart: a command may be claimed anew while an old attempt of it still runs here."""
        return self.command.id, self.command.lease_number

    def end(self) -> bool:
        """Say whether this call, of all those that may come, is the one that ends the attempt."""
        with self._lock:
            is_first, self.has_ended = not self.has_ended, True
            return is_first


class Runner:
    """Runs at most `concurrency` attempts at a time and settles them through the writer."""

    def __init__(
        self, registry: Registry, writer: Writer, *, concurrency: int, on_settled: Settled, random: Random
    ) -> None:
        """Start the event loop; `on_settled` hears of each settlement, and whether it still held its lease."""
        self.concurrency = concurrency
        self._registry = registry
        self._writer = writer
        self._on_settled = on_settled
        self._random = random
        self._threads = Threads(concurrency)
        self._running: dict[tuple[UUID, int], Running] = {}
        self._changed = threading.Condition()
        self._is_closing = False
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._run_loop, name="durex-loop", daemon=True)
        self._loop_thread.start()

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
        return self._threads.stuck

    def start(self, command: Command, *, within: timedelta | None = None) -> None:
        """Begin the attempt of a claimed command; `within` bounds it further than its own timeout does."""
        handler = self._registry.get(command.name)
        context = (AsyncContext if handler and handler.is_async else Context)(command)
        running = Running(command, context)
        with self._changed:
            self._running[running.key] = running
        if command.is_overdrawn:
            self._end(running, Crashed())
        elif handler is None:
            self._end(running, HandlerMissing())
        else:
            self._run(running, handler, within)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait until every attempt is settled, or for the timeout; say whether all are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout_seconds)

    def release(self, reason: str) -> None:
        """Give back what is still running, without counting the attempts."""
        for running in self.running:
            running.context.cancel()
            self._end(running, Released(reason))
            self._loop.call_soon_threadsafe(self._cancel_coroutine, running)

    def close(self) -> None:
        """Stop the threads and the event loop; call it when idle."""
        self._threads.close()
        self._is_closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        # A handler that blocks the loop, instead of awaiting, must not keep the process from ending.
        self._loop_thread.join(2 * _CANCEL_SECONDS)

    def _run_loop(self) -> None:
        while not self._is_closing:
            with _logged():
                self._loop.run_forever()
        with _logged():
            self._loop.run_until_complete(_cancel_all())
        self._loop.close()

    def _run(self, running: Running, handler: Handler, within: timedelta | None) -> None:
        if handler.is_async:
            self._loop.call_soon_threadsafe(self._start_coroutine, running, handler)
        else:
            running.task = self._threads.run(lambda: self._run_function(running, handler))
        limits = [limit for limit in (running.command.timeout, within) if limit is not None]
        if limits:
            self._loop.call_soon_threadsafe(self._set_timer, running, min(limits))

    def _start_coroutine(self, running: Running, handler: Handler) -> None:
        if not running.has_ended:
            running.coroutine = self._loop.create_task(self._run_coroutine(running, handler))

    def _run_function(self, running: Running, handler: Handler) -> None:
        if running.has_ended:
            return
        try:
            payload = handler.decode(running.command.payload)
            value = handler.function(*handler.arguments(running.context, payload))
            outcome: Outcome = attempt.returned(self._registry, running.command, value)
        except BaseException as error:  # noqa: BLE001  a handler may raise anything; the thread must go on
            outcome = attempt.failed(error)
        self._end(running, outcome)

    async def _run_coroutine(self, running: Running, handler: Handler) -> None:
        try:
            payload = handler.decode(running.command.payload)
            value = await handler.function(*handler.arguments(running.context, payload))
            outcome: Outcome = attempt.returned(self._registry, running.command, value)
        except BaseException as error:  # noqa: BLE001  a handler may raise anything; the loop must go on
            outcome = attempt.failed(error)
        self._end(running, outcome)

    def _set_timer(self, running: Running, limit: timedelta) -> None:
        running.timer = self._loop.call_later(limit.total_seconds(), self._time_out, running, limit)
        if running.has_ended:
            running.timer.cancel()

    def _time_out(self, running: Running, limit: timedelta) -> None:
        if not running.end():
            return
        running.context.cancel()
        self._cancel_coroutine(running)
        if running.task is not None:
            # Before its slot is free: whoever takes that needs another thread.
            self._threads.give_up(running.task)
        self._conclude(running, attempt.timed_out(running.command, limit))

    def _cancel_coroutine(self, running: Running) -> None:
        if running.coroutine is not None:
            running.coroutine.cancel()

    def _end(self, running: Running, outcome: Outcome) -> None:
        if running.end():
            if running.timer is not None:
                self._loop.call_soon_threadsafe(running.timer.cancel)
            self._conclude(running, outcome)

    def _conclude(self, running: Running, outcome: Outcome) -> None:
        self._settle(running, decide(running.command, outcome, self._random.random()))

    def _settle(self, running: Running, settlement: Settlement) -> None:
        held = self._writer.settle(settlement)
        held.add_done_callback(lambda done: self._settled(running, settlement, done))

    def _settled(self, running: Running, settlement: Settlement, done: Future[bool]) -> None:
        error = done.exception()
        if error is not None and settlement.outcome != _REFUSED and not isinstance(error, _ABSENT):
            self._settle_refused(running, settlement, error)
            return
        held = error is None and done.result()
        try:
            _log_end(settlement) if held else _log_loss(settlement, error)
        finally:
            # Where a log goes is the user's affair: were it to raise, the slot is free all the same.
            with self._changed:
                del self._running[running.key]
                self._changed.notify_all()
            self._on_settled(settlement, held)

    def _settle_refused(self, running: Running, settlement: Settlement, error: BaseException) -> None:
        """The database refused the outcome itself: the attempt failed, and that much can be stored."""
        _log.error("the settlement of command %s was refused: %s", settlement.command.id, error)
        failure = attempt.failed(error)
        refused = decide(running.command, failure, self._random.random())
        self._settle(running, replace(refused, outcome=_REFUSED))


async def _cancel_all() -> None:
    """Let coroutines that were given up come to their end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_CANCEL_SECONDS)


@contextmanager
def _logged() -> Iterator[None]:
    """Go on after a SystemExit or the like in a task that a handler left behind, which ends an event loop's run."""
    try:
        yield
    except BaseException:  # noqa: BLE001  whatever it is, other attempts need the loop
        _log.exception("a handler's task interrupted the event loop")


def _log_end(settlement: Settlement) -> None:
    command, error = settlement.command, settlement.error
    why = f": {error.type}: {error.message}" if error else ""
    is_for_good = settlement.state in (State.DEAD_LETTER, State.FAILED)
    level, ending = (logging.WARNING, settlement.state) if is_for_good else (logging.INFO, settlement.outcome)
    _log.log(level, "%s %s attempt %s: %s%s", command.name, command.id, command.attempt, ending, why)


def _log_loss(settlement: Settlement, error: BaseException | None) -> None:
    command = settlement.command
    _log.warning(
        "command %s (%s), attempt %s: %s; its outcome (%s) was not taken: unless it is stored, the command runs again",
        command.id,
        command.name,
        command.attempt,
        error or f"lease {command.lease_number} was lost",
        settlement.outcome,
    )
