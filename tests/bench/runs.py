"""Runs: one competitor doing one thing once, on a database of its own, with what was lost or doubled counted."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import psycopg
from bench.catalogue import Competitor
from bench.ledger import Ledger
from bench.processes import Worker, ask, workers
from bench.server import Databases, old_snapshot
from bench.side import WARM, Order

_LOOK_SECONDS = 0.002
_SAMPLE_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0
_SETTLE_IN_SECONDS = 1.0
_FIRST_PINGS = 5

Connection = psycopg.Connection[tuple[Any, ...]]


class Wrong(Exception):
    """Commands were lost or doubled, or a run did not come to its end."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a drain was after so many seconds, and what memory its workers held."""

    seconds: float
    done: int
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Drain:
    """What to drain, and how.

    Attributes:
        load: settings of the side that enqueues them.
        work: settings of its workers.
        failing: each command whose number is a multiple of it fails once; 0 for none.
        backlog: fills a database with what stands beside the commands.
        key: tells databases apart whose commands or backlog differ.
    """

    count: int
    workers: int = 1
    load: dict[str, Any] = field(default_factory=dict)
    work: dict[str, Any] = field(default_factory=dict)
    failing: int = 0
    has_old_snapshot: bool = False
    backlog: Callable[[str], None] | None = None
    key: str = ""


def installed(databases: Databases, competitor: Competitor) -> str:
    """Return the template of a competitor's empty database."""
    with databases.template(competitor.side) as (name, url):
        if url:
            ask(competitor, "install", Order(url))
    return name


def enqueue(databases: Databases, competitor: Competitor, count: int) -> float:
    """Return how many commands a second are enqueued, one per commit."""
    with databases.copy(installed(databases, competitor)) as url:
        seconds: float = ask(competitor, "enqueue", Order(url, count))
        _expect(competitor, "stored", _number(url, competitor.stored), count + WARM)
    return count / seconds


def bulk(databases: Databases, competitor: Competitor, count: int) -> float:
    """Return how many commands a second are enqueued all at once."""
    with databases.copy(installed(databases, competitor)) as url:
        seconds: float = ask(competitor, "load", Order(url, count))
        _expect(competitor, "stored", _number(url, competitor.stored), count)
    return count / seconds


def pick_up(databases: Databases, competitor: Competitor, count: int, settings: dict[str, Any]) -> list[float]:
    """Return the seconds from the call that enqueues a command to its handler, of an idle worker, each time.

    The first few do not count: connections open.
    """
    count += _FIRST_PINGS
    with databases.copy(installed(databases, competitor)) as url, ExitStack() as stack:
        path = stack.enter_context(_ledger_file())
        ledger = Ledger.create(path, count)
        order = Order(url, count, str(path), settings={"latency": True, **settings})
        (worker,) = stack.enter_context(workers(competitor, [order]))
        worker.go()
        threading.Event().wait(_SETTLE_IN_SECONDS)
        ask(competitor, "pings", order)
        connection = stack.enter_context(_connected(url))
        _wait_until(lambda: _is_settled(connection, competitor), ledger, [worker])
        check_runs(competitor, ledger, 0)
        return ledger.latencies[_FIRST_PINGS:]


def drain(databases: Databases, competitor: Competitor, what: Drain) -> list[Moment]:
    """Drain commands that are stored already; return how it went, from the first handler to the last durable outcome.

    Raises:
        Wrong: a command was lost or doubled.
    """
    with databases.copy(_loaded(databases, competitor, what)) as url, ExitStack() as stack:
        path = stack.enter_context(_ledger_file())
        ledger = Ledger.create(path, what.count, what.workers)
        stack.enter_context(old_snapshot(url) if what.has_old_snapshot else nullcontext())
        orders = [Order(url, what.count, str(path), what.workers, place, what.work) for place in range(what.workers)]
        team = stack.enter_context(workers(competitor, orders))
        moments = _watch(stack.enter_context(_connected(url)), competitor, ledger, team)
        if competitor.completed:
            _expect(competitor, "completed", _number(url, competitor.completed), what.count)
        check_runs(competitor, ledger, what.failing)
    return moments


def _loaded(databases: Databases, competitor: Competitor, what: Drain) -> str:
    """Return the template of a database with all that is to be drained."""
    with databases.template(f"{competitor.side}_{what.count}_{what.key}") as (name, url):
        if url:
            ask(competitor, "install", Order(url))
            if what.backlog:
                what.backlog(url)
            ask(competitor, "load", Order(url, what.count, settings=what.load))
            _expect(competitor, "stored", _number(url, competitor.stored), what.count)
    return name


def _watch(connection: Connection, competitor: Competitor, ledger: Ledger, team: list[Worker]) -> list[Moment]:
    """Start the workers, and note how far they are until nothing is left to do."""
    for worker in team:
        worker.go()
    _wait_until(lambda: ledger.done > 0, ledger, team)
    moments = [_moment(ledger, team)]
    while moments[-1].done < ledger.commands:
        _wait_until(partial(_is_further, ledger, moments[-1]), ledger, team)
        moments.append(_moment(ledger, team))
    _wait_until(lambda: _is_settled(connection, competitor), ledger, team)
    moments.append(_moment(ledger, team))
    return [Moment(each.seconds - moments[0].seconds, each.done, each.resident_bytes) for each in moments]


def _wait_until(is_so: Callable[[], bool], ledger: Ledger, team: list[Worker]) -> None:
    """Wait until something is so, as long as the workers go on."""
    pause = threading.Event()
    give_up_at = time.perf_counter() + _PATIENCE_SECONDS
    while not is_so():
        pause.wait(_LOOK_SECONDS)
        for worker in team:
            worker.check()
        if time.perf_counter() > give_up_at:
            raise Wrong(f"nothing more in {_PATIENCE_SECONDS:g} s: {ledger.done} of {ledger.commands} commands ran")


def _is_further(ledger: Ledger, last: Moment) -> bool:
    """Whether it is time for another sample: some time later, and further on, or at the end."""
    done = ledger.done
    is_time = time.perf_counter() >= last.seconds + _SAMPLE_SECONDS
    return done == ledger.commands or (is_time and done > last.done)


def _is_settled(connection: Connection, competitor: Competitor) -> bool:
    return connection.execute(competitor.is_busy).fetchone() == (False,)


def _moment(ledger: Ledger, team: list[Worker]) -> Moment:
    return Moment(time.perf_counter(), ledger.done, max(worker.resident_bytes for worker in team))


def check_runs(competitor: Competitor, ledger: Ledger, failing: int) -> None:
    """Make sure that each command ran once, and failed as often as it was to."""
    runs = ledger.runs()
    lost, doubled = runs.count(0), sum(each > 1 for each in runs)
    if lost or doubled:
        raise Wrong(f"{competitor.name}: {lost} commands lost and {doubled} doubled of {len(runs)}")
    wanted = [int(bool(failing) and number % failing == 0) for number in range(len(runs))]
    if ledger.failures() != wanted:
        raise Wrong(f"{competitor.name}: {sum(ledger.failures())} attempts failed instead of {sum(wanted)}")


def _expect(competitor: Competitor, what: str, number: int, wanted: int) -> None:
    if number != wanted:
        raise Wrong(f"{competitor.name}: {number} commands {what} instead of {wanted}")


def _number(url: str, query: LiteralString) -> int:
    with _connected(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _connected(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True, prepare_threshold=0)


@contextmanager
def _ledger_file() -> Iterator[Path]:
    with TemporaryDirectory(prefix="durex_bench_") as name:
        yield Path(name, "ledger")
