"""The worker function: a wake comes, ready commands are claimed and run, and the next wakes are sent.

A lease lasts as long as the invocation and a margin, without heartbeats; the wake's visibility timeout is longer still.
No wake is used up before what it stood for is seen to: what is left ready is passed on, what is due later has a wake or
an alarm of its own. An invocation that ends with an attempt unsettled, without its database, or without being able to
pass on, reports its messages as failed: their redelivery is the recovery. A handler's failure is a settlement like any
other, and never a failed message.
"""

import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, Protocol

from durex_core.clock import monotonic_seconds, pause
from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable
from durex_core.execution.commits import Ahead
from durex_core.execution.runner import Runner, Settled
from durex_core.execution.surroundings import Surroundings
from durex_core.execution.writer import Writer
from durex_core.operations.permanent import PAUSE, ensure
from durex_core.operations.wake import Wake
from durex_core.passes.execute import Executed, Starts, execute
from durex_core.registry import Registry
from durex_core.rules.wakes import MOST_WAKES, Due
from durex_core.serverless.batch import Event, Received, failures, receive
from durex_core.serverless.ledger import Ledger
from durex_core.store.database import Database

MAX_DEPTH = 10_000
"""How many commands in a chain may each wake the next at once. Beyond it the chain goes on by its echoes: Lambda's own
guard against endless loops is off, since it would cut every chain at 16."""

LEASE_MARGIN = timedelta(seconds=10)
"""How much longer than its invocation a lease lasts."""

DEFAULT_TIMEOUT = timedelta(minutes=1)
"""What a command is given that declares no timeout; the deployment gives its function as much."""

_SETTLE_SECONDS = 3.0
_GOODBYE_SECONDS = 1.5
_MOMENT_SECONDS = 0.25
_MANY = 10
_OBEY_SECONDS = 0.5  # a handler that looks at ctx.is_cancelled needs a moment to
_LOOK_SECONDS = 0.02
_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Invocation(Protocol):
    """What Lambda tells of the current invocation."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends it."""
        ...


class Runs(Starts, Protocol):
    """Whoever runs claimed commands and tells of each settlement."""

    @property
    def stuck(self) -> int:
        """How many handlers outlived their timeout and still run."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class WorkerFunction:
    """The worker of one queue, built once for each execution environment."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        wake: Wake,
        *,
        queue: str,
        reject: Callable[[str], bool],
        concurrency: int = 10,
        lease_margin: timedelta = LEASE_MARGIN,
        surroundings: Surroundings | None = None,
        flush: Callable[[], None] | None = None,
        runs: Callable[[Settled, Ahead], Runs] | None = None,
        clock: Callable[[], float] = monotonic_seconds,
        pause: Callable[[float], object] = pause,
    ) -> None:
        """Serve a queue, at most `concurrency` attempts at a time.

        `reject` takes the bodies of malformed messages; `flush` is called at the end of every invocation. `runs`,
        `clock` and `pause` stand for threads and time where both are simulated.
        """
        self._database = database
        self._registry = registry
        self._wake = wake
        self._queue = queue
        self._concurrency = concurrency
        self._lease_margin = lease_margin
        self._reject = reject
        self._flush = flush
        self._clock = clock
        self._pause = pause
        self._surroundings = surroundings or Surroundings()
        self._names = [handler.name for handler in registry if handler.queue == queue]
        self._need = longest_timeout(registry, queue) + timedelta(seconds=_SETTLE_SECONDS)
        self._ledger = Ledger()
        self._depth = 0
        self._share = MOST_WAKES
        self._is_in_doubt = False
        self._owed: dict[str, Due] = {}
        self._runner = (runs or self._threads)(self._ledger.settled, self._ahead)

    def invoke(self, event: Event, invocation: Invocation) -> dict[str, Any]:
        """Work off a batch of wakes and say which messages are to come again."""
        received = receive(event)
        is_done = not received.wakes or self._work_or_leave(invocation, received)
        if self._flush is not None:
            self._flush()
        self._recycle_if_stuck()
        rest = received.reject_malformed(self._reject)
        return failures([*(() if is_done else received.wakes), *rest])

    def close(self) -> None:
        """Stop the threads. Lambda never does; whoever runs a worker function elsewhere should."""
        self._runner.close()

    def _threads(self, on_settled: Settled, ahead: Ahead) -> Runs:
        return Runner(
            self._registry,
            Writer(self._database, lease=self._lease_margin, ahead=ahead),
            concurrency=self._concurrency,
            on_settled=on_settled,
            random=Random(),  # noqa: S311  spreads backoff, keeps no secret
            surroundings=self._surroundings,
        )

    def _work_or_leave(self, invocation: Invocation, received: Received) -> bool:
        """Work, and say whether the wakes have done their duty."""
        self._ledger.begin()
        self._depth = received.depth
        # Who was handed many wakes at once passes on few: they would be handed on together again.
        self._share = math.ceil(MOST_WAKES / len(received.wakes))
        self._is_in_doubt = False
        try:
            is_done = self._work(invocation, received.count)
            self._begin_anew()
            return self._pay() and is_done and not self._ledger.lost and not self._is_in_doubt
        except DatabaseError as error:
            _log.error("queue %r: the wakes are left for their redelivery: %s", self._queue, error)
            self._surroundings.observers.store_failed("work", error)
            return False

    def _work(self, invocation: Invocation, expected: int) -> bool:
        """Claim and run until nothing is ready or the time is up; say whether whatever is left has somebody coming."""
        while True:
            executed = self._claim(invocation)
            expected -= executed.started if executed else 0
            is_more = executed is None or executed.is_more
            is_seen_to = executed is not None and not is_more and self._see_to(executed.due_in)
            if is_more and (expected > _MANY * self._concurrency or not self._attend(_MOMENT_SECONDS, self._crowd)):
                # There is a lot, or what was taken takes its time: other environments can begin on the rest now.
                is_seen_to = self._pass_on(expected)
                expected = 0
            if is_more and self._has_room(invocation):
                continue
            if not self._attend(_left(invocation).total_seconds() - _GOODBYE_SECONDS):
                return False
            return is_seen_to or (is_more and self._pass_on(expected))

    def _has_room(self, invocation: Invocation) -> bool:
        """Wait until enough attempts ended to claim more beside the rest; say whether there is time for more."""
        has_room = self._attend((_left(invocation) - self._need).total_seconds(), self._crowd)
        return has_room and _left(invocation) > self._need

    @property
    def _crowd(self) -> int:
        """How many attempts may still run when others are claimed: a claim for each free slot would cost too much.

        Under a limit it is none: who claims beside others takes more than may run, and has to give it back.
        """
        is_limited = self._surroundings.limiter.room(self._names) is not None
        return 0 if is_limited else self._concurrency // 2

    def _see_to(self, due_in: timedelta | None) -> bool:
        """See to what will be ready by itself; say whether that is certain."""
        try:
            return due_in is None or self._wake.ahead({self._queue: Due(due_in)})
        except DatabaseError as error:
            # The book of alarms is away; attempts are under way, though.
            _log.warning("queue %r: what is due later is left to the redelivery of its wakes: %s", self._queue, error)
            return False

    def _pass_on(self, count: int) -> bool:
        """Pass on what is left to other invocations; if that fails, the redelivery of our own wakes must do."""
        left = {self._queue: Due(count=max(1, count), depth=self._depth, wakes=self._share)}
        return self._wake.ahead(left) | self._wake.ready(left)

    def _limit(self) -> int:
        """Return how many attempts may start now. At least one: who claims nothing learns nothing of what is left."""
        free = self._concurrency - self._ledger.open
        room = self._surroundings.limiter.room(self._names)
        return max(1, free if room is None else min(free, room))

    def _claim(self, invocation: Invocation) -> Executed | None:
        """Start the attempts of ready commands, or answer None: the database came back too late for any.

        A database that is away is asked again while there is time for another try of the same length.

        Raises:
            DatabaseUnavailable: it did not come back.
        """
        is_late = False
        while True:
            tried_at = self._clock()
            try:
                if is_late and _left(invocation) <= self._need:
                    self._database.run("schema/version")
                    return None
                return self._start(invocation, self._limit())
            except (DatabaseUnavailable, DatabaseBusy) as error:
                # What was claimed, if the answer alone is lost, has nobody but the redelivery of these wakes.
                self._is_in_doubt |= isinstance(error, DatabaseUnavailable) and error.is_in_doubt
                took = self._clock() - tried_at
                if _left(invocation).total_seconds() < took + _PAUSE_SECONDS + _SETTLE_SECONDS:
                    raise
                _log.warning("queue %r: waiting for the database: %s", self._queue, error)
                self._pause(_PAUSE_SECONDS)
                is_late = True

    def _start(self, invocation: Invocation, limit: int) -> Executed:
        left = _left(invocation)
        executed = execute(
            self._database,
            self._runner,
            queues=[self._queue],
            limit=limit,
            lease=left + self._lease_margin,
            worker=invocation.aws_request_id,
            within=left - timedelta(seconds=_SETTLE_SECONDS),
        )
        self._ledger.opened(executed.started)
        return executed

    def _attend(self, seconds: float, down_to: int = 0) -> bool:
        """Send wakes while attempts end, until all but so many have or the time is up; say whether they have."""
        deadline = self._clock() + seconds
        while True:
            ready, is_done = self._ledger.news(max(0.0, deadline - self._clock()), down_to)
            self._tell(ready)
            if is_done or not ready:
                return is_done

    def _tell(self, ready: Mapping[str, int]) -> None:
        """Wake the next commands in a chain. If that fails, or the chain is too long, their echoes are on their way."""
        if not ready:
            return
        if self._depth < MAX_DEPTH:
            self._wake.ready({queue: Due(count=count, depth=self._depth + 1) for queue, count in ready.items()})
        else:
            _log.error(
                "queue %r: more than %s commands in a row each led to the next: slowing them down",
                self._queue,
                MAX_DEPTH,
            )

    def _ahead(self, due: Mapping[str, Due]) -> None:
        """See, before a commit, to what it makes ready. What could not be seen to is owed until the end."""
        # A command that waits cannot run away: it begins a new chain.
        depth = min(self._depth + 1, MAX_DEPTH)
        chained = {queue: replace(each, depth=0 if each.delay else depth) for queue, each in due.items()}
        if not self._wake.ahead(chained):
            self._owe(chained)

    def _owe(self, due: Mapping[str, Due]) -> None:
        """Remember the soonest of each queue: the claim that it leads to sees to the rest."""
        for queue, each in due.items():
            known = self._owed.get(queue, each)
            self._owed[queue] = min(known, each, key=lambda one: one.delay)

    def _begin_anew(self) -> None:
        """Enqueue the permanent commands that ended."""
        ended = self._ledger.ended
        if any(spec.name in ended for spec in self._registry.permanent):
            observers = self._surroundings.observers
            ensure(self._database, self._registry, self._wake, observers=observers, delay=PAUSE)

    def _pay(self) -> bool:
        """See to what is owed; say whether nothing is any more."""
        if self._owed and self._wake.ahead(self._owed):
            self._owed = {}
        return not self._owed

    @property
    def _is_stuck(self) -> bool:
        return self._runner.stuck > 0 or not self._ledger.is_done

    def _recycle_if_stuck(self) -> None:
        """End the process if a handler outlived its time: frozen with it, it would go on in another invocation."""
        deadline = self._clock() + _OBEY_SECONDS
        while self._is_stuck and self._clock() < deadline:
            self._pause(_LOOK_SECONDS)
        if self._is_stuck:
            _log.error("queue %r: a handler outlived its time; this environment ends with it", self._queue)
            logging.shutdown()
            os._exit(1)


def longest_timeout(registry: Registry, queue: str) -> timedelta:
    """Return the longest time that a handler of the queue may take: the first attempts of a later batch need it too."""
    timeouts = [handler.defaults.timeout or DEFAULT_TIMEOUT for handler in registry if handler.queue == queue]
    return max(timeouts, default=DEFAULT_TIMEOUT)


def _left(invocation: Invocation) -> timedelta:
    return timedelta(milliseconds=invocation.get_remaining_time_in_millis())
