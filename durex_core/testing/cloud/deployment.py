"""What `cdk deploy` would make of an application: its queues, its functions, and what joins them."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random

from durex_core.app import Durex
from durex_core.aws.alarm import AlarmSettings, SchedulerAlarms
from durex_core.aws.wake import SqsDeadLetters, SqsWake
from durex_core.execution.commits import Ahead, Commits
from durex_core.execution.runner import Settled
from durex_core.operations.alarms import BookedAlarms
from durex_core.records import record
from durex_core.rules.wakes import Due
from durex_core.serverless.drain import DrainFunction
from durex_core.serverless.tick import tick
from durex_core.serverless.worker import LEASE_MARGIN, WorkerFunction, longest_timeout
from durex_core.store.database import Connection
from durex_core.testing.cloud import functions
from durex_core.testing.cloud.connections import SimulatedDatabase
from durex_core.testing.cloud.functions import Function, Handler
from durex_core.testing.cloud.queues import Queue
from durex_core.testing.cloud.runner import SimulatedRunner
from durex_core.testing.cloud.scheduler import SimulatedScheduler
from durex_core.testing.cloud.sqs import SimulatedSqs
from durex_core.testing.cloud.world import World

VISIBILITY_FACTOR = 6
MOST_RECEIVES = 1000
TICK_SECONDS = 60.0
DRAIN_SECONDS = 60.0
TIMEOUT_MARGIN = timedelta(seconds=10)

_DRAINS = 2
_ALARMS = AlarmSettings(group="simulated", role="arn:aws:iam::000000000000:role/alarms", target="arn:simulated:tick")


@record
class Size:
    """How much may run at a time: invocations of each worker, and attempts of each invocation."""

    maximum: int = 10
    concurrency: int = 10


class Deployment:
    """An application's queues and functions in a simulated AWS.

    Attributes:
        queues: the queue of wakes of each queue of commands.
        ingest: the queue of commands that were accepted while the database was away.
        workers: the function of each queue of commands.
        drain: the function that stores what was accepted.
        tick: the function that alarms and the sweep call.
        wake: how whoever runs wakes workers: each machine remembers for itself what it sent.
    """

    def __init__(
        self,
        app: Durex,
        world: World,
        sqs: SimulatedSqs,
        scheduler: SimulatedScheduler,
        database: SimulatedDatabase,
        *,
        size: Size,
        random: Random,
    ) -> None:
        """Deploy an application; jitter is drawn from `random`."""
        self._app = app
        self._world = world
        self._sqs = sqs
        self._scheduler = scheduler
        self._database = database
        self._size = size
        self._random = random
        self.wake = _WakeByMachine(world, self._new_wake)
        self.queues: dict[str, Queue] = {}
        self.workers: dict[str, Function] = {}
        for queue in app.registry.queues:
            self._add_worker(queue)
        self.tick = Function(world, "tick", TICK_SECONDS, self._tick)
        scheduler.targets[_ALARMS.target] = self.tick.invoke_later
        self.ingest = self._add_queue("ingest", DRAIN_SECONDS)
        # SQS loses nothing that it took. That wakes are lost here all the same proves that none of them is the last;
        # these messages are the commands themselves.
        self.ingest.is_lossless = True
        self.drain = Function(world, "drain", DRAIN_SECONDS, self._drain)
        functions.Mapping(world, self.ingest, self.drain, maximum=_DRAINS)

    def _add_queue(self, name: str, timeout: float) -> Queue:
        """Make a queue with its dead letter queue; the visibility of its messages outlasts the leases of their work."""
        dead = self._sqs.make(f"{name}-dead")
        visibility = VISIBILITY_FACTOR * timeout
        return self._sqs.make(name, visibility=visibility, most_receives=MOST_RECEIVES, dead_letters=dead)

    def _add_worker(self, queue: str) -> None:
        timeout = (longest_timeout(self._app.registry, queue) + TIMEOUT_MARGIN).total_seconds()
        made = self.queues[queue] = self._add_queue(f"wake-{queue}", timeout)
        function = self.workers[queue] = Function(self._world, queue, timeout, lambda: self._worker(queue, made))
        functions.Mapping(self._world, made, function, maximum=self._size.maximum)

    def _worker(self, queue: str, wakes: Queue) -> Handler:
        """Build what an execution environment of a worker builds at its start."""

        def runs(on_settled: Settled, ahead: Ahead) -> SimulatedRunner:
            commits = Commits(self._database, lease=LEASE_MARGIN, ahead=ahead, clock=self._world.monotonic)
            return SimulatedRunner(self._world, self._app.registry, commits, self._random, on_settled)

        worker = WorkerFunction(
            self._database,
            self._app.registry,
            self.wake,
            queue=queue,
            reject=_rejects(wakes),
            concurrency=self._size.concurrency,
            surroundings=self._app.surroundings,
            runs=runs,
            clock=self._world.monotonic,
            pause=self._world.processes.sleep,
        )
        return worker.invoke

    def _tick(self) -> Handler:
        app = self._app
        return lambda _event, _context: tick(
            self._database, app.registry, self.wake, app.retention, app.surroundings.observers
        )

    def _drain(self) -> Handler:
        observers, reject = self._app.surroundings.observers, _rejects(self.ingest)
        drain = DrainFunction(self._database, self.wake, observers=observers, reject=reject)
        return lambda event, _context: drain.invoke(event)

    def _new_wake(self) -> SqsWake:
        alarms = BookedAlarms(lambda: self._database, SchedulerAlarms(_ALARMS, scheduler=lambda: self._scheduler))
        urls = {queue: made.url for queue, made in self.queues.items()}
        return SqsWake(urls, alarms=alarms, sqs=lambda: self._sqs, now=self._world.local_now)


class _WakeByMachine:
    """The wake of the machine that the running process is on."""

    def __init__(self, world: World, make: Callable[[], SqsWake]) -> None:
        self._world = world
        self._make = make
        self._wakes: dict[str, SqsWake] = {}

    def ahead(self, due: Mapping[str, Due]) -> bool:
        return self._here.ahead(due)

    def ready(self, due: Mapping[str, Due]) -> bool:
        return self._here.ready(due)

    def soon(self, due: Mapping[str, Due], connection: Connection) -> bool:
        return self._here.soon(due, connection)

    @property
    def _here(self) -> SqsWake:
        process = self._world.processes.here
        machine = process.home if process else ""
        if machine not in self._wakes:
            self._wakes[machine] = self._make()
        return self._wakes[machine]


def _rejects(queue: Queue) -> Callable[[str], bool]:
    assert queue.dead_letters is not None
    return SqsDeadLetters(queue.dead_letters.url).reject
