"""The local worker: the only loop in durex. It calls the same passes that run in Lambda.

It waits for the bell or for the moment that something is due, and runs nothing in between: `durex_core.local.rest` says
why that is enough. Leases are extended while their attempts run. On stop it claims nothing more, lets attempts finish
for the grace period, and gives back the rest without counting it; a killed worker's leases run out and its commands are
claimed anew.
"""

import logging
import math
import os
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from random import Random

from durex_core.clock import monotonic_seconds
from durex_core.collector import calm_collector
from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable
from durex_core.execution.commits import Written
from durex_core.execution.runner import Runner
from durex_core.execution.surroundings import Surroundings
from durex_core.execution.writer import Writer
from durex_core.local import GRACE, LEASE
from durex_core.local.bell import Bell, Ears, LocalWake
from durex_core.local.heart import Cancels, Heart
from durex_core.local.rest import Rest
from durex_core.model import RetentionPolicy
from durex_core.operations.permanent import ensure
from durex_core.operations.schema import publish
from durex_core.passes.dispatch import dispatch
from durex_core.passes.execute import execute
from durex_core.passes.prune import prune
from durex_core.passes.rescue import rescue
from durex_core.registry import Registry
from durex_core.rules.ahead import Pace, to_claim
from durex_core.rules.outcomes import Settlement
from durex_core.rules.wakes import Due
from durex_core.store import commands
from durex_core.store.database import Database

_SWEEP_EVERY_SECONDS = 3600.0
_TIDY_EVERY_SECONDS = 60.0
_DISPATCH_EVERY_SECONDS = 1.0
_SHORTEST_WAIT_SECONDS = 0.01
_LIMITED_SECONDS = 1.0
_LONG_WAIT_SECONDS = 1.0
_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Worker:
    """Runs the commands of an application in this process until it is stopped."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        bell: Bell,
        *,
        queues: Sequence[str] | None = None,
        concurrency: int = 10,
        lease: timedelta = LEASE,
        grace: timedelta = GRACE,
        retention: RetentionPolicy | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Serve queues (default: all of the registry), at most `concurrency` attempts at a time."""
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._database = database
        self._registry = registry
        self._shared_bell = bell
        self._bell = Bell()
        self._wake = LocalWake(database, bell)
        self._queues = list(queues or registry.queues)
        self._concurrency = concurrency
        self._lease = lease
        self._grace = grace
        self._retention = retention or RetentionPolicy()
        self._surroundings = surroundings or Surroundings()
        self._is_stopping = False
        self._pace = Pace()
        self._has_news = threading.Event()
        self._rest = Rest(self._bell, lease)
        self._sweeping = [Duty(self._publish, _SWEEP_EVERY_SECONDS), Duty(self._prune, _SWEEP_EVERY_SECONDS)]
        self._tidying = [Duty(self._ensure, _TIDY_EVERY_SECONDS), Duty(self._rescue, _TIDY_EVERY_SECONDS)]
        self._dispatch = Duty(self._share, _DISPATCH_EVERY_SECONDS)

    def stop(self) -> None:
        """Ask the worker to stop; `run` returns when its attempts have ended or were given back. Safe in a signal."""
        self._is_stopping = True
        self._bell.ring()

    def run(self) -> None:
        """Work until stopped."""
        writer = Writer(self._database, lease=self._lease)
        runner = Runner(
            self._registry,
            writer,
            concurrency=self._concurrency,
            on_settled=self._on_settled,
            random=Random(),  # noqa: S311  spreads backoff, keeps no secret
            surroundings=self._surroundings,
        )
        ears = Ears(self._database, self._bell)
        heart = Heart(runner, writer, self._lease)
        try:
            hearing = self._surroundings.observers.hearing(Cancels(runner))
            with calm_collector(), self._shared_bell.tied(self._bell), hearing:
                while not self._is_stopping:
                    self._rest.take(self._turn(runner), hears_all=ears.are_sure)
        finally:
            self._wind_down(runner)
            heart.close()
            ears.close()
            runner.close()

    def _turn(self, runner: Runner) -> float:
        """Do what is due and return for how many seconds nothing will be."""
        try:
            self._do_duties()
            if self._has_news.is_set():
                self._has_news.clear()
                self._tell_others()
            return min(self._execute(runner), *(duty.due_in() for duty in self._sweeping))
        except (DatabaseUnavailable, DatabaseBusy) as error:
            _log.warning("waiting for the database: %s", error)
            self._surroundings.observers.store_failed("work", error)
            return _PAUSE_SECONDS

    def _do_duties(self) -> None:
        """Do what is due; only a sweep is ever the reason for a turn, the other duties are done when there is one."""
        if self._rest.is_second_look:
            for duty in self._tidying:
                duty.hasten()
        for duty in (*self._sweeping, *self._tidying):
            duty.run_if_due()

    def _execute(self, runner: Runner) -> float:
        """Start what is ready, and return for how many seconds nothing will be."""
        if (runner.waiting_seconds or 0.0) > _LONG_WAIT_SECONDS:
            # What was claimed ahead of quick handlers stands behind slow ones: others may be free.
            runner.release("the worker could not begin it soon", only_waiting=True)
            self._pace.forget(runner.tally, monotonic_seconds())
            self._has_news.set()
        seconds = math.inf
        if self._wanted(runner):
            # Each lot has its turn, whether or not the one before it left something.
            seconds = min([self._claim(runner, queues, room) for queues, room in list(self._lots())], default=math.inf)
            if seconds == 0.0:
                self._dispatch.run_if_due()
        return seconds if runner.waiting_seconds is None else min(seconds, _LONG_WAIT_SECONDS)

    def _claim(self, runner: Runner, queues: Sequence[str], room: int | None) -> float:
        """Start what is ready in these queues, as far as there is room; return when to look again (0: at once)."""
        limit = self._wanted(runner)
        if room is not None:
            limit = min(self._concurrency - runner.unsettled, room - runner.unopened)
        if limit <= 0:
            # A slot that comes free rings, but nobody rings when a limit is raised.
            return math.inf if room is None else _LIMITED_SECONDS
        executed = execute(
            self._database,
            runner,
            queues=queues,
            limit=limit,
            lease=self._lease,
            worker=self.name,
            at_once=max(0, self._concurrency - runner.unsettled),
        )
        return 0.0 if executed.is_more else self._next_due(queues)

    def _wanted(self, runner: Runner) -> int:
        """Return how many commands to claim now; none any more once it is to stop."""
        if self._is_stopping:
            return 0
        pace = self._pace.look(runner.tally, monotonic_seconds())
        return to_claim(self._concurrency, runner.unsettled, pace)

    def _next_due(self, queues: Sequence[str]) -> float:
        """Return for how long nothing becomes ready by itself in these queues, and no lease in them ends."""
        with self._database.autocommit() as connection:
            due = commands.next_due(connection, queues)
        return math.inf if due is None else max(due.total_seconds(), _SHORTEST_WAIT_SECONDS)

    def _lots(self) -> Iterator[tuple[list[str], int | None]]:
        """Yield the queues to claim from together, and how many the limits of this process allow."""
        limiter = self._surroundings.limiter
        names_of = defaultdict(list)
        for handler in self._registry:
            names_of[handler.queue].append(handler.name)
        unlimited = []
        for queue in self._queues:
            names = names_of[queue]
            if names and all(limiter.limit(name) for name in names):
                yield [queue], limiter.room(names)
            else:
                unlimited.append(queue)
        if unlimited:
            yield unlimited, limiter.room([])

    def _publish(self) -> None:
        """Make the handlers known, if this worker's role may."""
        with _allowed("make the handlers known to SQL"):
            publish(self._database, self._registry)

    def _ensure(self) -> None:
        ensure(self._database, self._registry, self._wake, observers=self._surroundings.observers)

    def _rescue(self) -> None:
        rescued = rescue(self._database)
        if rescued:
            self._has_news.set()
            _log.warning("took back %s commands whose worker had vanished", len(rescued))

    def _share(self) -> None:
        """There is more than this worker can take: weigh what is due by priority with the rest, and tell the others."""
        dispatch(self._database, queues=self._queues)
        self._has_news.set()

    def _prune(self) -> None:
        """Prune, if this worker's role may: where it may not, somebody else's duty it is."""
        with _allowed("prune"):
            pruned = prune(self._database, self._retention)
            if pruned.commands:
                self._surroundings.observers.pruned(pruned.commands)

    def _on_settled(self, settled: Sequence[tuple[Settlement, Written]]) -> None:
        if any(written.woken or (written.held and settlement.children) for settlement, written in settled):
            self._has_news.set()
        self._bell.ring()

    def _wind_down(self, runner: Runner) -> None:
        """Let attempts end, give back those that do not, and tell other workers of what is left to them."""
        if not runner.wait_until_idle(self._grace.total_seconds()):
            _log.warning("giving back %s unfinished commands", len(runner.running))
            runner.release("the worker stopped")
            runner.wait_until_idle(self._lease.total_seconds())
        with suppress(DatabaseError):
            self._tell_others()

    def _tell_others(self) -> None:
        self._wake.ready(dict.fromkeys(self._queues, Due()))


@contextmanager
def _allowed(what: str) -> Iterator[None]:
    """Go on where the database refuses a duty, as it does where this worker's role has not the right."""
    try:
        yield
    except (DatabaseUnavailable, DatabaseBusy):
        raise
    except DatabaseError as error:
        _log.warning("cannot %s: %s", what, error)


class Duty:
    """Something to do every so often."""

    def __init__(self, work: Callable[[], None], every_seconds: float) -> None:
        """Be due at once."""
        self._work = work
        self._every_seconds = every_seconds
        self._due_at_seconds = 0.0

    def due_in(self) -> float:
        """Return the seconds until it is due, 0 if it is."""
        return max(0.0, self._due_at_seconds - monotonic_seconds())

    def hasten(self) -> None:
        """Be due now."""
        self._due_at_seconds = 0.0

    def run_if_due(self) -> None:
        """Do it if it is due; what raises is due still."""
        if self.due_in() == 0.0:
            self._work()
            self._due_at_seconds = monotonic_seconds() + self._every_seconds
