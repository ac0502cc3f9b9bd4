"""The scenarios: what is measured, of whom, and how much of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from bench import runs
from bench.backlog import Backlog
from bench.catalogue import BARE, DUREX, LEAN, PGQUEUER, Competitor
from bench.imports import import_seconds
from bench.measure import Figures, percentile
from bench.runs import Drain, Moment
from bench.server import Databases

RATE = "a second"
P50 = "p50 ms"
P99 = "p99 ms"
PEAK = "peak MB"
GROWTH = "MB grown since a quarter was done"
STEADY = "second half's rate to the first's"
IMPORT = "ms"

COMPARED = frozenset({RATE, P50, P99, IMPORT})
"""Figures of which the ratio to the reference says something."""

_QUEUE = {"queues": ["noop"]}
_MEGABYTE = 1e6
_FAILING = 10

Measure = Callable[[], Figures]


@dataclass(frozen=True, slots=True)
class Size:
    """How many commands each scenario takes."""

    enqueue: int
    bulk: int
    drain: int
    pings: int
    backlog: Backlog
    sustained: int
    imports: int


SIZES = {
    "small": Size(200, 5_000, 2_000, 30, Backlog(20_000, 2_000, 2_000), 10_000, 3),
    "full": Size(3_000, 100_000, 20_000, 300, Backlog(1_000_000, 100_000, 100_000), 200_000, 10),
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is measured: by whom, and who it is compared with.

    Attributes:
        less_is_better: whether its figures are times.
    """

    name: str
    title: str
    reference: str
    entries: Mapping[str, Measure]
    less_is_better: bool = False


def scenarios(databases: Databases, size: Size, peers: Sequence[Competitor]) -> Iterator[Scenario]:
    """Yield all of them."""
    everybody = [BARE, DUREX, *peers]
    yield _enqueue(databases, size, everybody)
    yield _bulk(databases, size, everybody)
    for count in (1, 2):
        yield _drain(databases, size, [LEAN, *everybody], count)
    yield _pick_up(databases, size, everybody)
    yield _backlog(databases, size)
    yield _snapshot(databases, size, [LEAN, BARE, DUREX, *(peer for peer in peers if peer is PGQUEUER)])
    yield _features(databases, size)
    yield _sustained(databases, size)
    yield _imports(size, everybody)


def _enqueue(databases: Databases, size: Size, everybody: Sequence[Competitor]) -> Scenario:
    title = "Enqueue, one per commit, against a bare INSERT"
    rate = partial(_rate, runs.enqueue, databases, size.enqueue)
    return Scenario("enqueue", title, BARE.name, {each.name: partial(rate, each) for each in everybody})


def _bulk(databases: Databases, size: Size, everybody: Sequence[Competitor]) -> Scenario:
    title = f"Enqueue {size.bulk:,} at once, against COPY of rows as wide"
    rate = partial(_rate, runs.bulk, databases, size.bulk)
    return Scenario("bulk", title, LEAN.name, {each.name: partial(rate, each) for each in [LEAN, *everybody]})


def _drain(databases: Databases, size: Size, everybody: Sequence[Competitor], processes: int) -> Scenario:
    title = f"Drain {size.drain:,} no-op commands, " + ("one process" if processes == 1 else f"{processes} processes")
    what = Drain(size.drain, processes, work=_QUEUE)
    entries = {each.name: partial(_drained, databases, each, what) for each in everybody}
    return Scenario("drain" if processes == 1 else f"drain-{processes}", title, LEAN.name, entries)


def _pick_up(databases: Databases, size: Size, everybody: Sequence[Competitor]) -> Scenario:
    title = "Pick-up by an idle worker: from the call that enqueues to the handler, against LISTEN and NOTIFY alone"
    entries = {each.name: partial(_latency, databases, size.pings, each) for each in everybody}
    return Scenario("pick-up", title, BARE.name, entries, less_is_better=True)


def _backlog(databases: Databases, size: Size) -> Scenario:
    beside = size.backlog
    title = (
        f"Drain {size.drain:,} beside {beside.finished:,} finished, {beside.future:,} future"
        f" and {beside.waiting:,} waiting commands"
    )
    empty = Drain(size.drain, work=_QUEUE)
    full = replace(empty, backlog=beside.fill, key="backlog")
    entries = {
        "durex, nothing beside": partial(_drained, databases, DUREX, empty),
        "durex, all beside": partial(_drained, databases, DUREX, full),
    }
    return Scenario("backlog", title, "durex, nothing beside", entries)


def _snapshot(databases: Databases, size: Size, some: Sequence[Competitor]) -> Scenario:
    title = f"Drain {size.drain:,} beside an old snapshot, which keeps what is dead from being cleaned up"
    what = Drain(size.drain, work=_QUEUE, has_old_snapshot=True)
    entries = {each.name: partial(_drained, databases, each, what) for each in some}
    entries["durex, no snapshot"] = partial(_drained, databases, DUREX, replace(what, has_old_snapshot=False))
    return Scenario("snapshot", title, LEAN.name, entries)


def _features(databases: Databases, size: Size) -> Scenario:
    plain = Drain(size.drain, work=_QUEUE)
    flaky = {"queues": ["flaky"]}
    kinds = {
        "durex, plain": plain,
        "durex, unique keys": replace(plain, load={"unique": True}, key="unique"),
        "durex, ten priorities": replace(plain, load={"priorities": True}, key="priorities"),
        "durex, a tenth fails once": replace(
            plain, load={"failing": True}, work=flaky, failing=_FAILING, key="failing"
        ),
        "durex, all of these": replace(
            plain,
            load={"unique": True, "priorities": True, "failing": True},
            work=flaky,
            failing=_FAILING,
            key="features",
        ),
    }
    entries = {name: partial(_drained, databases, DUREX, what) for name, what in kinds.items()}
    return Scenario("features", f"Drain {size.drain:,} with features on", "durex, plain", entries)


def _sustained(databases: Databases, size: Size) -> Scenario:
    what = Drain(size.sustained, work=_QUEUE)
    entries = {each.name: partial(_course, databases, each, what) for each in (LEAN, BARE, DUREX)}
    return Scenario("sustained", f"Drain {size.sustained:,}: rate and memory", LEAN.name, entries)


def _imports(size: Size, everybody: Sequence[Competitor]) -> Scenario:
    names = {BARE.name: "import psycopg, pydantic", DUREX.name: "durex, a command function"}
    entries = {
        names.get(each.name, each.name): partial(_import, size.imports, each) for each in everybody if each.imports
    }
    return Scenario("import", "Import", names[BARE.name], entries, less_is_better=True)


def _rate(
    run: Callable[[Databases, Competitor, int], float], databases: Databases, count: int, competitor: Competitor
) -> Figures:
    return {RATE: run(databases, competitor, count)}


def _drained(databases: Databases, competitor: Competitor, what: Drain) -> Figures:
    what = replace(what, count=min(what.count, competitor.most))
    return {RATE: _rate_of(runs.drain(databases, competitor, what))}


def _rate_of(moments: Sequence[Moment]) -> float:
    first, last = moments[0], moments[-1]
    return (last.done - first.done) / (last.seconds - first.seconds)


def _course(databases: Databases, competitor: Competitor, what: Drain) -> Figures:
    """Measure a long drain: its rate, whether that stays the same, and its memory."""
    moments = runs.drain(databases, competitor, what)
    start, middle, end = (_seconds_at(moments, share * what.count) for share in (0, 0.5, 1))
    early = next(moment for moment in moments if moment.done >= what.count / 4)
    return {
        RATE: _rate_of(moments),
        STEADY: (middle - start) / (end - middle),
        PEAK: max(moment.resident_bytes for moment in moments) / _MEGABYTE,
        GROWTH: (moments[-1].resident_bytes - early.resident_bytes) / _MEGABYTE,
    }


def _seconds_at(moments: Sequence[Moment], done: float) -> float:
    """Return after how many seconds so many commands had run, between two samples by their proportion."""
    for before, after in pairwise(moments):
        if before.done <= done < after.done:
            share = (done - before.done) / (after.done - before.done)
            return before.seconds + share * (after.seconds - before.seconds)
    return moments[0].seconds if done < moments[0].done else moments[-1].seconds


def _latency(databases: Databases, count: int, competitor: Competitor) -> Figures:
    settings = {"queues": ["heard"]} if competitor is DUREX else {}
    latencies = [1000 * each for each in runs.pick_up(databases, competitor, count, settings)]
    return {P50: percentile(latencies, 0.5), P99: percentile(latencies, 0.99)}


def _import(times: int, competitor: Competitor) -> Figures:
    return {IMPORT: 1000 * import_seconds(competitor, times)}
