"""`make soak`: durex for minutes on a Postgres of its own, with a long reader open, to see that nothing grows.

A process enqueues at a steady rate, another works, and history is pruned after half a minute. Autovacuum is as it
comes. A reader holds its snapshot open for a while, again and again, so that meanwhile nothing that dies can be cleaned
up. Exits with 1 if a command was lost or doubled, if throughput sinks, or if a table, an index or the worker grows.

What minutes cannot show: partitions of the history last for whole days. One is dropped here by a pass that is told that
it is tomorrow; from then on history stands in the DEFAULT partition, and is pruned there row by row.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from bench.catalogue import Competitor
from bench.competitors import soak_side
from bench.course import COMMANDS, HEADER, HISTORY, WORKER, Sample, line, verdicts
from bench.ledger import Ledger
from bench.processes import SideFailed, Worker, ask, workers
from bench.runs import Wrong
from bench.server import old_snapshot, running_server
from bench.side import Order
from databases import fresh_postgres

from durex_core.clock import utc_now
from durex_core.passes.prune import prune
from durex_core.store.database import Database

SIDE = Competitor(
    name="durex", side="soak_side", setting="", package=None, environment=None, is_busy="", stored="", completed=None
)

_LOOK_EVERY_SECONDS = 5.0
_LONGEST_READER_SECONDS = 120.0
_READERS = 6
_DROPS_AT = 0.1
_PRUNED_AT_ONCE = 5000
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.2

_SIZES = """
SELECT %(commands)s, pg_table_size('durex.commands') UNION ALL
SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index
    WHERE indrelid = 'durex.commands'::regclass UNION ALL
SELECT %(history)s, coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree('durex.finished_commands')
    WHERE isleaf
"""
_COUNTS = "SELECT n_dead_tup, autovacuum_count FROM pg_stat_user_tables WHERE relid = 'durex.commands'::regclass"
_LEFT = "SELECT count(*) FROM durex.commands WHERE name <> 'beat'"
_BEATS = "SELECT count(*), coalesce(min(run), 0) FROM durex.commands WHERE name = 'beat'"
_DEAD = "SELECT count(*) FROM durex.finished_commands WHERE state <> 'completed'"


class Soak:
    """A run: its database, its processes, and what is seen of them."""

    def __init__(self, url: str, ledger: Ledger, team: Sequence[Worker], database: Database) -> None:
        """Look at a database, at what ran, and at the process that works, which is the first."""
        self.samples: list[Sample] = []
        self._url = url
        self._ledger = ledger
        self._team = team
        self._database = database
        self._fed = 0

    def run(self, seconds: float) -> None:
        """Look every few seconds, and prune, until the time is up."""
        began_at = time.perf_counter()
        pause = threading.Event()
        has_dropped = False
        with psycopg.connect(self._url, autocommit=True) as connection:
            while (elapsed := time.perf_counter() - began_at) < seconds:
                self._look(connection, elapsed)
                if not has_dropped and elapsed > _DROPS_AT * seconds:
                    has_dropped = self._drop_partitions()
                self._prune()
                pause.wait(max(0.0, elapsed + _LOOK_EVERY_SECONDS - (time.perf_counter() - began_at)))

    def check(self) -> None:
        """Wait until all that was enqueued has run, and see that each command ran once.

        Raises:
            Wrong: one was lost, doubled, or ended other than well.
        """
        give_up_at = time.perf_counter() + _PATIENCE_SECONDS
        with psycopg.connect(self._url, autocommit=True) as connection:
            while _row(connection, _LEFT) != (0,):
                if time.perf_counter() > give_up_at:
                    raise Wrong(f"{_row(connection, _LEFT)[0]} commands were left")
                self._check_processes()
                threading.Event().wait(_LOOK_SECONDS)
            beating, rounds = _row(connection, _BEATS)
            (dead,) = _row(connection, _DEAD)
        runs = self._ledger.runs()[: self.fed]
        lost, doubled = runs.count(0), sum(each > 1 for each in runs)
        if lost or doubled or dead or beating != soak_side.REPEATING:
            raise Wrong(f"{lost} lost, {doubled} doubled, {dead} dead letters, {beating} still repeat")
        wanted = [int(number % soak_side.KINDS == soak_side.FAILING) for number in range(self.fed)]
        if self._ledger.failures()[: self.fed] != wanted:
            raise Wrong("an attempt failed that was not to fail, or did not that was")
        _say(f"{self.fed:,} commands ran once each; {beating} repeated {rounds:,} times or more")

    @property
    def fed(self) -> int:
        """How many commands were enqueued."""
        self._fed = self._ledger.first_not_called(self._fed)
        return self._fed

    def _look(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        self._check_processes()
        done = self._ledger.done
        found = connection.execute(_SIZES, {"commands": COMMANDS, "history": HISTORY}).fetchall()
        sizes = {name: int(size) for name, size in found} | {WORKER: self._team[0].resident_bytes}
        dead_rows, vacuums = _row(connection, _COUNTS)
        sample = Sample(seconds, done, self.fed - done, sizes, dead_rows, vacuums)
        _say(sample.row(self.samples[-1] if self.samples else None))
        self.samples.append(sample)

    def _prune(self) -> None:
        while prune(self._database, soak_side.RETENTION, limit=_PRUNED_AT_ONCE).commands >= _PRUNED_AT_ONCE:
            pass

    def _drop_partitions(self) -> bool:
        """Prune as if it were the day after tomorrow; say whether a partition was dropped."""
        pruned = prune(self._database, soak_side.RETENTION, now=utc_now() + timedelta(days=2))
        _say(f"partitions made or dropped: {pruned.partitions_changed}")
        return pruned.partitions_changed > 0

    def _check_processes(self) -> None:
        for worker in self._team:
            worker.check()


def main(arguments: Sequence[str]) -> int:
    """Run for some minutes, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: 10)")
    parser.add_argument("--rate", type=int, default=1500, help="how many commands a second (default: 1500)")
    options = parser.parse_args(arguments)
    try:
        with running_server() as server:
            samples = soak(server, 60 * options.minutes, options.rate)
    except (Wrong, SideFailed) as error:
        _say(f"WRONG: {error}")
        return 1
    said = list(verdicts(samples))
    for is_well, text in said:
        _say(f"{'ok   ' if is_well else 'WRONG'} {text}")
    return int(not all(is_well for is_well, _ in said))


def soak(server_url: str, seconds: float, rate: int) -> list[Sample]:
    """Let durex work for so many seconds, and return what was seen.

    Raises:
        Wrong: a command was lost or doubled, or ended other than well.
        SideFailed: a process failed.
    """
    with ExitStack() as stack:
        url = stack.enter_context(fresh_postgres(server_url))
        path = Path(stack.enter_context(TemporaryDirectory(prefix="durex_soak_"))) / "ledger"
        count = int(seconds * rate)
        ledger = Ledger.create(path, count, processes=2)
        ask(SIDE, "install", Order(url))
        feeds = {"rate": rate, "most": 2 * rate, "seconds": seconds}
        orders = [Order(url, count, str(path), 2, place, settings) for place, settings in enumerate(({}, feeds))]
        team = stack.enter_context(workers(SIDE, orders))
        app = soak_side.application(Order(url))
        stack.callback(app.close)
        run = Soak(url, ledger, team, app.database)
        _say(line(HEADER))
        stack.enter_context(_readers(url, min(_LONGEST_READER_SECONDS, seconds / _READERS)))
        for worker in team:
            worker.go()
        run.run(seconds)
        run.check()
        return run.samples


@contextmanager
def _readers(url: str, seconds: float) -> Iterator[None]:
    """Keep a snapshot open during the block, and renew it from time to time."""
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            with old_snapshot(url):
                is_over.wait(seconds)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _row(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return tuple(row)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
