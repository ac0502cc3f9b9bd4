"""An application whose payloads say what its handlers do, and the stories that simulations tell of it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any, ClassVar
from uuid import UUID

from wakes.verdicts import Wrong, complaints

from durex_core import Durex, Spec
from durex_core.backoff import Constant, NoBackoff
from durex_core.facts import AttemptFacts
from durex_core.results import ContinueSequence, Next, Repeat, Spawn, SpawnThen
from durex_core.testing.cloud import Faults, SimulatedCloud, Storage

HOURS = timedelta(hours=1)
MINUTES = timedelta(minutes=1)
SECONDS = timedelta(seconds=1)

NOWHERE = "sqlite:////no/such/folder/own.db"

app = Durex(NOWHERE)


class Theatre:
    """The simulation that runs, for handlers that take their time, and what it accepted."""

    cloud: SimulatedCloud | None = None
    accepted: ClassVar[list[UUID]] = []


_numbers = count(1)


def take_time(payload: Mapping[str, Any]) -> None:
    assert Theatre.cloud is not None
    Theatre.cloud.sleep(payload.get("takes", 0.1))


@app.command("work", retries=3, backoff=Constant(20 * SECONDS), timeout=30 * SECONDS)
def work(ctx: AttemptFacts, payload: Any) -> Any:
    """Fail so often, and then complete; run so often."""
    take_time(payload)
    if ctx.attempt <= payload.get("fails", 0):
        raise RuntimeError("not yet")
    if ctx.run <= payload.get("repeats", 0):
        return Repeat(delay=timedelta(seconds=payload["period"]))
    return "done"


@app.command("slow", retries=2, backoff=Constant(SECONDS), timeout=10 * MINUTES)
def slow(ctx: AttemptFacts, payload: Any) -> str:
    """Might take minutes, so that its function's timeout is long."""
    take_time(payload)
    if ctx.attempt == 1:
        raise RuntimeError("not yet")
    return "done"


@app.command("spread", queue="plan", timeout=30 * SECONDS, retries=2)
def spread(payload: Any) -> Spawn:
    """Enqueue children."""
    take_time(payload)
    children = [work.spec({}, delay=timedelta(seconds=delay)) for delay in payload["children"]]
    return Spawn(*children, result=len(children))


@app.command("gather", queue="plan", timeout=30 * SECONDS, retries=2)
def gather(payload: Any) -> SpawnThen:
    """Enqueue children and one that waits for them."""
    take_time(payload)
    children = [work.spec({"fails": fails}) for fails in payload["children"]]
    return SpawnThen(children, then=summarise.spec({}), result=len(children) + 1)


@app.command("summarise", queue="plan", timeout=30 * SECONDS, retries=2)
def summarise(ctx: AttemptFacts, payload: Any) -> int:
    take_time(payload)
    return len(ctx.command.children)


@app.command("first", queue="plan", timeout=30 * SECONDS, retries=2)
def first(payload: Any) -> ContinueSequence:
    take_time(payload)
    return ContinueSequence(first=True)


@app.command("second", queue="work", timeout=30 * SECONDS, retries=2)
def second(payload: Any) -> ContinueSequence:
    take_time(payload)
    return ContinueSequence(second=True)


def undo() -> Next:
    return Next(work.spec({}))


@app.command("frail", queue="plan", timeout=30 * SECONDS, retries=1, on_recover=undo)
def frail(payload: Any) -> None:
    take_time(payload)
    raise RuntimeError("it never works")


@dataclass(frozen=True)
class Story:
    """What is asked of a deployment, within how long it ends when nothing goes wrong, and when it does."""

    tell: Callable[[SimulatedCloud], object]
    within: timedelta = HOURS
    concurrency: int = 10


def enqueue(cloud: SimulatedCloud, *specs: Spec, after: timedelta = timedelta(0), home: str = "api") -> list[UUID]:
    """Enqueue by a request; the ids are there once it was answered."""
    ids: list[UUID] = []

    def request() -> None:
        ids.extend(enqueued.id for enqueued in app.enqueue_many(specs))

    cloud.request(request, after=after, home=home)
    return ids


def accept(cloud: SimulatedCloud, *specs: Spec, after: timedelta = timedelta(0), home: str = "api") -> list[UUID]:
    """Enqueue by a request that has the commands kept if the database is away; the ids come with its answer."""
    ids: list[UUID] = []
    numbered = [replace(spec, payload={**spec.payload, "number": next(_numbers)}) for spec in specs]

    def request() -> None:
        for spec in numbered:
            ids.append(cloud.accept(spec).id)
            Theatre.accepted.append(ids[-1])

    cloud.request(request, after=after, home=home)
    return ids


def accepted_while_away(cloud: SimulatedCloud) -> None:
    cloud.lose_database(after=timedelta(0), lasting=8 * MINUTES)
    accept(cloud, work.spec({}), work.spec({}, delay=30 * MINUTES), after=SECONDS)


def joined(cloud: SimulatedCloud, *specs: Spec) -> None:
    """Enqueue in a transaction of the caller's."""

    def request() -> None:
        with cloud.database.transaction():
            app.enqueue_many(specs, connection=cloud.storage.raw)

    cloud.request(request)


def many(number: int, **payload: Any) -> list[Spec]:
    return [work.spec(payload) for _ in range(number)]


def operate(cloud: SimulatedCloud, ids: list[UUID], operation: Callable[[UUID], object], after: timedelta) -> None:
    """Do something with the first of some commands, later."""

    def request() -> None:
        if ids:
            operation(ids[0])

    cloud.request(request, after=after)


def cancelled_and_retried(cloud: SimulatedCloud) -> None:
    ids = enqueue(cloud, work.spec({}, delay=5 * MINUTES))
    operate(cloud, ids, app.cancel, 1 * MINUTES)
    operate(cloud, ids, app.retry, 2 * MINUTES)


def hastened(cloud: SimulatedCloud) -> None:
    operate(cloud, enqueue(cloud, work.spec({}, delay=5 * HOURS)), app.retry, 3 * MINUTES)


def replayed(cloud: SimulatedCloud) -> None:
    ids = enqueue(cloud, work.spec({"fails": 1}, retries=0))
    operate(cloud, ids, app.replay, 20 * MINUTES)


def part_cancelled(cloud: SimulatedCloud) -> None:
    """The last part of a join is cancelled: what waits for it becomes ready by that."""
    enqueue(cloud, gather.spec({"children": [3, 0]}))

    def request() -> None:
        for command in app.find(name="work", state="scheduled"):
            app.cancel(command.id)

    cloud.request(request, after=10 * SECONDS)


STORIES = {
    "one": Story(lambda cloud: enqueue(cloud, work.spec({}))),
    "twenty-five": Story(lambda cloud: enqueue(cloud, *many(25))),
    "in 30 s": Story(lambda cloud: enqueue(cloud, work.spec({}, delay=30 * SECONDS))),
    "in 20 min": Story(lambda cloud: enqueue(cloud, work.spec({}, delay=20 * MINUTES))),
    "in 24 h": Story(lambda cloud: enqueue(cloud, work.spec({}, delay=24 * HOURS)), within=26 * HOURS),
    "now and in 5 min": Story(lambda cloud: enqueue(cloud, work.spec({}), work.spec({}, delay=5 * MINUTES))),
    "retried": Story(lambda cloud: enqueue(cloud, work.spec({"fails": 2}))),
    "retried at once": Story(lambda cloud: enqueue(cloud, work.spec({"fails": 2}, backoff=NoBackoff()))),
    "retried late": Story(lambda cloud: enqueue(cloud, work.spec({"fails": 1}, backoff=Constant(30 * MINUTES)))),
    "retried slowly": Story(lambda cloud: enqueue(cloud, slow.spec({})), within=2 * HOURS),
    "spawned": Story(lambda cloud: enqueue(cloud, spread.spec({"children": [0, 40, 2000]}))),
    "joined": Story(lambda cloud: enqueue(cloud, gather.spec({"children": [0, 1]}))),
    "in sequence": Story(lambda cloud: enqueue(cloud, first.spec({}, sequence=("second", "first")))),
    "repeated": Story(lambda cloud: enqueue(cloud, work.spec({"repeats": 2, "period": 60}))),
    "more than a claim": Story(lambda cloud: enqueue(cloud, *many(7)), concurrency=2),
    "more than an invocation": Story(lambda cloud: enqueue(cloud, *many(6, takes=12.0)), concurrency=2),
    "two requests": Story(
        lambda cloud: [enqueue(cloud, work.spec({})), enqueue(cloud, work.spec({}), after=5 * SECONDS)]
    ),
    "cancelled and retried": Story(cancelled_and_retried),
    "hastened": Story(hastened, within=6 * HOURS),
    "replayed": Story(replayed),
    "undone": Story(lambda cloud: enqueue(cloud, frail.spec({}))),
    "in a transaction of the caller's": Story(
        lambda cloud: joined(cloud, work.spec({}), *(work.spec({}, delay=delay) for delay in (40 * SECONDS, HOURS)))
    ),
    "accepted": Story(lambda cloud: accept(cloud, work.spec({}))),
    "accepted while away": Story(accepted_while_away),
    "part cancelled": Story(part_cancelled),
}

_storage: list[Storage] = []


def storage() -> Storage:
    """The database of this process, which all its simulations share."""
    if not _storage:
        _storage.append(Storage())
    return _storage[0]


@contextmanager
def deployed(faults: Faults | None = None, **options: Any) -> Iterator[SimulatedCloud]:
    """Deploy the application for the length of the block. Faults are logged, thousands of them: not here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    Theatre.accepted.clear()
    cloud = Theatre.cloud = SimulatedCloud(app, faults=faults, storage=storage(), **options)
    try:
        with cloud:
            yield cloud
    finally:
        logging.disable(disabled)


def told(story: Story, faults: Faults | None = None, **options: Any) -> SimulatedCloud:
    """Tell a story to its end and check what was made of it; without a sweep, unless told otherwise.

    Raises:
        Wrong: commands are live still, or a change of state was made twice.
        NoWaker: at some step, nobody would have come for a command.
    """
    with deployed(faults, **{"concurrency": story.concurrency, "sweep": None, **options}) as cloud:
        story.tell(cloud)
        if not cloud.run_until_done(story.within + 3 * HOURS):
            live = storage().read("SELECT name, state, attempt FROM commands")
            raise Wrong(f"live still: {live}\n{cloud.world.trace}")
        wrong = complaints(storage(), Theatre.accepted)
        if wrong:
            raise Wrong("\n".join([*wrong, cloud.world.trace]))
    return cloud
