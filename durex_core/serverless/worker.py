"""The worker function: a wake comes, ready commands are claimed and run, and the next wakes are sent.

A lease lasts as long as the invocation and a margin, without heartbeats; the wake's visibility timeout is longer still.
An invocation that ends with an attempt unsettled, or without its database, reports its messages as failed: their
redelivery is the recovery. A handler's failure is a settlement like any other, and never a failed message.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Protocol

from durex_core.aws.wake import SqsWake, WakeMessage
from durex_core.clock import monotonic_seconds
from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable
from durex_core.execution.runner import Runner
from durex_core.execution.surroundings import Surroundings
from durex_core.execution.writer import Writer
from durex_core.operations.wake import Wake
from durex_core.passes.execute import execute
from durex_core.registry import Registry
from durex_core.serverless.batch import Event, failures, receive
from durex_core.serverless.ledger import Due, Ledger
from durex_core.store.database import Database

MAX_DEPTH = 10_000
"""How many commands in a chain may each wake the next at once. Beyond it the chain goes on by one in a minute: Lambda's
own guard against endless loops is off, since it would cut every chain at 16."""

LEASE_MARGIN = timedelta(seconds=10)
"""How much longer than its invocation a lease lasts."""

SLOWED = timedelta(minutes=1)
"""How long a wake is held back in a chain that is too deep."""

DEFAULT_TIMEOUT = timedelta(minutes=1)
"""What a command is given that declares no timeout; the deployment gives its function as much."""

_SETTLE_SECONDS = 3.0
_GOODBYE_SECONDS = 1.5
_MOMENT_SECONDS = 0.25
_OBEY_SECONDS = 0.5  # a handler that looks at ctx.is_cancelled needs a moment to
_LOOK_SECONDS = 0.02
_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Wakes(Protocol):
    """Whoever sends wakes."""

    def send(self, wakes: Sequence[tuple[WakeMessage, timedelta]]) -> bool:
        """Send wakes, each after its delay, and say whether all are on their way."""
        ...


class Invocation(Protocol):
    """What Lambda tells of the current invocation."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends it."""
        ...


class WorkerFunction:
    """The worker of one queue, built once for each execution environment."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        wakes: Wakes,
        *,
        queue: str,
        reject: Callable[[str], bool],
        concurrency: int = 10,
        lease_margin: timedelta = LEASE_MARGIN,
        surroundings: Surroundings | None = None,
        flush: Callable[[], None] | None = None,
    ) -> None:
        """Serve a queue, at most `concurrency` attempts at a time.

        `reject` takes the bodies of malformed messages; `flush` is called at the end of every invocation.
        """
        self._database = database
        self._wakes = wakes
        self._queue = queue
        self._concurrency = concurrency
        self._lease_margin = lease_margin
        self._reject = reject
        self._flush = flush
        surroundings = surroundings or Surroundings()
        self._limiter = surroundings.limiter
        self._observers = surroundings.observers
        self._names = [handler.name for handler in registry if handler.queue == queue]
        self._need = longest_timeout(registry, queue) + timedelta(seconds=_SETTLE_SECONDS)
        self._ledger = Ledger()
        self._writer = Writer(database, lease=lease_margin)
        self._runner = Runner(
            registry,
            self._writer,
            concurrency=concurrency,
            on_settled=self._ledger.settled,
            random=Random(),  # noqa: S311  spreads backoff, keeps no secret
            surroundings=surroundings,
        )

    def invoke(self, event: Event, invocation: Invocation) -> dict[str, Any]:
        """Work off a batch of wakes and say which messages are to come again."""
        received = receive(event)
        is_done = not received.wakes or self._work_or_leave(invocation, received.depth)
        if self._flush is not None:
            self._flush()
        self._recycle_if_stuck()
        rest = received.reject_malformed(self._reject)
        return failures([*(() if is_done else received.wakes), *rest])

    def close(self) -> None:
        """Stop the threads. Lambda never does; whoever runs a worker function elsewhere should."""
        self._runner.close()
        self._writer.close()

    def _work_or_leave(self, invocation: Invocation, depth: int) -> bool:
        """Work, and say whether the wakes have done their duty."""
        self._ledger.begin()
        try:
            return self._work(invocation, depth) and not self._ledger.lost
        except DatabaseError as error:
            _log.error("queue %r: the wakes are left for their redelivery: %s", self._queue, error)
            self._observers.store_failed("work", error)
            return False

    def _work(self, invocation: Invocation, depth: int) -> bool:
        """Claim and run until nothing is ready or the time is up; say whether a wake is left for what is ready then."""
        while True:
            limit = self._limit()
            started = self._claim(invocation, limit)
            is_sent_on = False
            if started == limit and not self._attend(_MOMENT_SECONDS, depth):
                # There may be more, and these take their time: another environment can begin on it now.
                is_sent_on = self._send_on(depth)
            if not self._attend(_left(invocation).total_seconds() - _GOODBYE_SECONDS, depth):
                return False
            if started is not None and started < limit:
                return True
            if _left(invocation) <= self._need:
                return is_sent_on or self._send_on(depth)

    def _limit(self) -> int:
        """Return how many attempts may start now. At least one: who claims nothing learns nothing of what is left."""
        room = self._limiter.room(self._names)
        return self._concurrency if room is None else max(1, min(self._concurrency, room))

    def _claim(self, invocation: Invocation, limit: int) -> int | None:
        """Start the attempts of ready commands and return how many, or None: the database came back too late for any.

        A database that is away is asked again while there is time for another try of the same length.

        Raises:
            DatabaseUnavailable: it did not come back.
        """
        is_late = False
        while True:
            tried_at = monotonic_seconds()
            try:
                if is_late and _left(invocation) <= self._need:
                    self._database.run("schema/version")
                    return None
                return self._start(invocation, limit)
            except (DatabaseUnavailable, DatabaseBusy) as error:
                took = monotonic_seconds() - tried_at
                if _left(invocation).total_seconds() < took + _PAUSE_SECONDS + _SETTLE_SECONDS:
                    raise
                _log.warning("queue %r: waiting for the database: %s", self._queue, error)
                threading.Event().wait(_PAUSE_SECONDS)
                is_late = True

    def _start(self, invocation: Invocation, limit: int) -> int:
        left = _left(invocation)
        started = execute(
            self._database,
            self._runner,
            queues=[self._queue],
            limit=limit,
            lease=left + self._lease_margin,
            worker=invocation.aws_request_id,
            within=left - timedelta(seconds=_SETTLE_SECONDS),
        )
        self._ledger.opened(started)
        return started

    def _attend(self, seconds: float, depth: int) -> bool:
        """Send wakes while attempts end, until all have or the time is up; say whether all have."""
        deadline = monotonic_seconds() + seconds
        while True:
            due, is_done = self._ledger.news(max(0.0, deadline - monotonic_seconds()))
            self._tell(due, depth)
            if is_done or not due:
                return is_done

    def _tell(self, due: Iterable[Due], depth: int) -> None:
        self._wakes.send([self._wake(queue, timedelta(seconds=seconds), depth) for queue, seconds in sorted(due)])

    def _wake(self, queue: str, delay: timedelta, depth: int) -> tuple[WakeMessage, timedelta]:
        """Return the wake of the next command in a chain. One that waits cannot run away: it begins a new chain."""
        if delay:
            return WakeMessage(queue), delay
        if depth < MAX_DEPTH:
            return WakeMessage(queue, depth + 1), delay
        _log.error("queue %r: more than %s commands in a row each led to the next: slowing them down", queue, MAX_DEPTH)
        return WakeMessage(queue, depth), SLOWED

    def _send_on(self, depth: int) -> bool:
        """Pass a wake on to another invocation; if that fails, the redelivery of ours must do."""
        return self._wakes.send([(WakeMessage(self._queue, depth), timedelta(0))])

    @property
    def _is_stuck(self) -> bool:
        return self._runner.stuck > 0 or not self._ledger.is_done

    def _recycle_if_stuck(self) -> None:
        """End the process if a handler outlived its time: frozen with it, it would go on in another invocation."""
        deadline = monotonic_seconds() + _OBEY_SECONDS
        while self._is_stuck and monotonic_seconds() < deadline:
            threading.Event().wait(_LOOK_SECONDS)
        if self._is_stuck:
            _log.error("queue %r: a handler outlived its time; this environment ends with it", self._queue)
            logging.shutdown()
            os._exit(1)


class Pokes:
    """Stands for SQS where there is none: tells the workers of this machine, if there are any."""

    def __init__(self, wake: Wake) -> None:
        """Pass wakes on to a local wake."""
        self._wake = wake

    def send(self, wakes: Sequence[tuple[WakeMessage, timedelta]]) -> bool:
        """Tell of work; when it is due, a local worker reads from the database."""
        for message, delay in wakes:
            _log.info("wake for queue %r in %s s", message.queue, delay.total_seconds())
            self._wake.ready({message.queue: delay})
        return True


def wakes_of(wake: Wake) -> Wakes:
    """Return what a worker sends its wakes through."""
    return wake if isinstance(wake, SqsWake) else Pokes(wake)


def longest_timeout(registry: Registry, queue: str) -> timedelta:
    """Return the longest time that a handler of the queue may take: the first attempts of a later batch need it too."""
    timeouts = [handler.defaults.timeout or DEFAULT_TIMEOUT for handler in registry if handler.queue == queue]
    return max(timeouts, default=DEFAULT_TIMEOUT)


def _left(invocation: Invocation) -> timedelta:
    return timedelta(milliseconds=invocation.get_remaining_time_in_millis())
