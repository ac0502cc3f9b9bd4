"""A whole deployment in one process: SQS, Scheduler and Lambda simulated around an application's real workers."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from types import TracebackType
from typing import Self

from durex_core.app import Durex
from durex_core.aws.ingest import SqsIngest
from durex_core.model import Accepted, Enqueued
from durex_core.operations.ingest import enqueue_or_accept
from durex_core.spec import Spec
from durex_core.testing.cloud.checker import Conservation
from durex_core.testing.cloud.connections import SimulatedDatabase
from durex_core.testing.cloud.deployment import Deployment, Size
from durex_core.testing.cloud.faults import Faults
from durex_core.testing.cloud.history import Fences
from durex_core.testing.cloud.lives import Process
from durex_core.testing.cloud.scheduler import SimulatedScheduler
from durex_core.testing.cloud.sqs import SimulatedSqs
from durex_core.testing.cloud.storage import Storage
from durex_core.testing.cloud.substitutes import simulated
from durex_core.testing.cloud.world import World

START = datetime(2026, 1, 1, tzinfo=UTC)
SWEEP = timedelta(hours=6)

_REQUEST_SECONDS = 30.0


class SimulatedCloud:
    """Deploys an application to a simulated AWS, on virtual time, for the length of a `with` block.

    Workers, tick, drain, wakes, alarms, operations and the store are durex's own; AWS, time and faults are simulated.

        with SimulatedCloud(app) as cloud:
            cloud.request(lambda: greet.enqueue("ada", delay=timedelta(hours=24)))
            cloud.run(timedelta(hours=25))

    Attributes:
        app: the application.
        world: time, processes and the trace of what happened.
        sqs: the queues, and a client of SQS.
        scheduler: the alarms, and a client of EventBridge Scheduler.
        database: the database as processes see it; it counts who connects.
        storage: the database itself, and the journal of all changes.
        deployed: the application's queues and functions.
        sweeps: how often the slow sweep called the tick.
    """

    def __init__(
        self,
        app: Durex,
        *,
        faults: Faults | None = None,
        storage: Storage | None = None,
        start: datetime = START,
        seed: int = 0,
        maximum: int = 10,
        concurrency: int = 10,
        sweep: timedelta | None = SWEEP,
        is_checked: bool = True,
    ) -> None:
        """Prepare a deployment.

        Args:
            app: the application.
            faults: what calls and messages meet (default: nothing).
            storage: a database to use anew (default: a new one).
            start: when virtual time begins.
            seed: what ids and the jitter of backoffs are drawn from.
            maximum: how many invocations of each worker may run at a time.
            concurrency: how many attempts an invocation claims at a time.
            sweep: how often the tick is called whatever happens; None: never.
            is_checked: whether the conservation of wakes is checked at every step.
        """
        self.app = app
        self.storage = storage or Storage()
        self.world = World(start, faults or Faults())
        self.sqs = SimulatedSqs(self.world.timeline, self.world.faults, self.world.call)
        self.scheduler = SimulatedScheduler(self.world.timeline, self.world.faults, self.world.call)
        self.database = SimulatedDatabase(self.storage, self.world)
        self.deployed = Deployment(
            app,
            self.world,
            self.sqs,
            self.scheduler,
            self.database,
            size=Size(maximum, concurrency),
            random=Random(seed),  # noqa: S311  jitter
        )
        self.sweeps = 0
        self._seed = seed
        self._sweep = sweep
        self._requests = 0
        self._skews: dict[str, float] = {}
        self._to_begin = 0
        self._exits = ExitStack()
        self.database.around = Fences(self.storage, self.world).around
        if is_checked:
            self.world.watch = Conservation(
                self.world,
                self.database,
                storage=self.storage,
                scheduler=self.scheduler,
                queues=self.deployed.queues,
                tick=self.deployed.tick,
            )

    def __enter__(self) -> Self:
        """Point the application at the simulation."""
        with ExitStack() as exits:
            self.storage.wipe()
            exits.callback(self.world.processes.close)
            exits.enter_context(simulated(self.world, self.sqs, self._seed))
            exits.enter_context(self.app.redirected(self.database, self.deployed.wake))
            self._begin_sweeps()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the application back what it had."""
        self._exits.close()

    @property
    def now(self) -> datetime:
        """The virtual moment."""
        return self.world.now

    def request(self, code: Callable[[], object], *, after: timedelta = timedelta(0), home: str = "api") -> Process:
        """Let a request run the code, now or later, as a process of the API; `home` says on which of its machines."""
        self._requests += 1
        self._to_begin += 1
        skew = self._skews.setdefault(home, self.world.faults.skew())
        process = Process(f"request#{self._requests}", home, skew=skew)

        def begin() -> None:
            process.life.deadline = self.world.timeline.seconds + _REQUEST_SECONDS
            self.world.start(process, run)

        def run() -> None:
            self._to_begin -= 1
            code()

        self.after(after, begin)
        return process

    def accept(self, spec: Spec) -> Enqueued | Accepted:
        """Do what the API does when a command is sent to it: store it, or keep it until the database is back."""
        ingest = SqsIngest(self.deployed.ingest.url)
        observers = self.app.surroundings.observers
        return enqueue_or_accept(
            self.database, self.app.registry, self.deployed.wake, ingest, spec, observers=observers
        )

    def after(self, delay: timedelta, action: Callable[[], None]) -> None:
        """Do something later, outside of all processes."""
        self.world.timeline.after(delay.total_seconds(), action)

    def lose_database(self, *, after: timedelta, lasting: timedelta) -> None:
        """Let the database answer nobody for some time."""

        def set_away(*, is_away: bool) -> None:
            self.database.is_away = is_away

        self.after(after, partial(set_away, is_away=True))
        self.after(after + lasting, partial(set_away, is_away=False))

    def run(self, by: timedelta) -> None:
        """Let so much time pass.

        Raises:
            NoWaker: the checker found something.
        """
        self.world.run(self.world.timeline.seconds + by.total_seconds())

    def run_until_done(self, within: timedelta) -> bool:
        """Let time pass until no command is live and nobody works; say whether that was so within the time.

        Raises:
            NoWaker: the checker found something.
        """
        return self.world.run(self.world.timeline.seconds + within.total_seconds(), self._is_done)

    def sleep(self, seconds: float) -> None:
        """Let a handler, or a request, take its time."""
        self.world.processes.sleep(seconds)

    def _is_done(self) -> bool:
        if self._to_begin or self.world.processes.living or self.deployed.ingest.live:
            return False
        return not self.storage.read("SELECT 1 FROM commands LIMIT 1")

    def _begin_sweeps(self) -> None:
        if self._sweep is not None:
            self.after(self._sweep, self._sweep_once)

    def _sweep_once(self) -> None:
        self.sweeps += 1
        self.deployed.tick.invoke_later("{}")
        self._begin_sweeps()
