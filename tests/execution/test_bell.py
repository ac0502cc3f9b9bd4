"""A worker that waits hears of work: from its own process, from others, and when something is due."""

import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from staging import Hand, wait_until

from durex_core.clock import monotonic_seconds
from durex_core.local.bell import Bell
from durex_core.local.worker import Worker
from durex_core.store.database import Database

ENQUEUE_FOR_EACH_LINE = """
import sys
from durex_core import Durex

app = Durex(sys.argv[1])

@app.command("greet")
def greet(name: str) -> None: ...

for line in sys.stdin:
    print(greet.enqueue(line.strip()).id, flush=True)
app.close()
"""


def seconds_of(wait) -> float:
    began = monotonic_seconds()
    wait()
    return monotonic_seconds() - began


def test_a_ring_between_two_waits_is_not_lost():
    bell = Bell()
    bell.ring()
    bell.ring()

    assert seconds_of(lambda: bell.wait(30)) < 5
    assert seconds_of(lambda: bell.wait(0.2)) >= 0.19


def test_a_ring_ends_a_wait():
    bell = Bell()
    threading.Timer(0.1, bell.ring).start()

    assert seconds_of(lambda: bell.wait(30)) < 5


def test_tied_bells_ring_together_and_use_up_no_ring_of_each_other():
    shared, one, other = Bell(), Bell(), Bell()
    with shared.tied(one), shared.tied(other):
        shared.ring()
        assert seconds_of(lambda: one.wait(30)) < 5
        assert seconds_of(lambda: other.wait(30)) < 5
        one.ring()
        assert seconds_of(lambda: other.wait(0.1)) >= 0.09
    shared.ring()
    one.wait(0)
    assert seconds_of(lambda: one.wait(0.1)) >= 0.09


def test_a_bell_may_be_rung_in_a_signal_handler_that_interrupts_its_waiter():
    ring_in_a_storm = """
import signal, sys
from durex_core.local.bell import Bell

bell, rings = Bell(), 0

def ring(*_):
    global rings
    rings += 1
    bell.ring()

signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
while rings < 3000:
    bell.wait(5)
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    assert subprocess.run([sys.executable, "-c", ring_in_a_storm], timeout=30, check=False).returncode == 0


def test_a_command_that_another_process_enqueues_is_picked_up_promptly(app, database_url, work, finished):
    @app.command("greet")
    def greet(name: str) -> str:
        return f"hello {name}"

    work()
    other = subprocess.Popen(
        [sys.executable, "-c", ENQUEUE_FOR_EACH_LINE, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        for name in ("a", "b", "c"):
            # The worker is idle again: it has answered for the command before, and nothing is due.
            threading.Event().wait(0.3)
            other.stdin.write(f"{name}\n")
            other.stdin.flush()
            command_id = other.stdout.readline().strip()
            wait_until(lambda seen=command_id: app.get(seen).state.is_terminal, timeout_seconds=2)
            assert app.get(command_id).result == f"hello {name}"
    assert other.returncode == 0
    assert finished(greet.enqueue("d")).result == "hello d"


def test_the_ears_of_a_worker_outlive_their_session(app, other, work, finished, stage):
    @app.command("greet")
    def greet() -> None: ...

    other.command("greet")(lambda: None)
    work()
    finished(greet.enqueue())
    if stage.is_postgres:
        assert stage.end_sessions() >= 1
        wait_until(lambda: stage.run("SELECT 1 FROM pg_stat_activity WHERE query = 'LISTEN durex_wake'"))

    finished(other.enqueue("greet"), timeout_seconds=5)


def test_an_idle_worker_sends_no_statements(app, finished):
    @app.command("greet")
    def greet() -> None: ...

    counting = CountingDatabase(app.database)
    hand = Hand(Worker(counting, app.registry, app._bell))
    try:
        finished(greet.enqueue())
        wait_until(lambda: counting.has_been_quiet_for(0.5))
        before = len(counting.statements)
        threading.Event().wait(1)
        assert counting.statements[before:] == []
    finally:
        hand.stop()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_worker_that_takes_all_it_can_tells_the_others_that_there_may_be_more(app, work, stage):
    release = threading.Event()

    @app.command("wait")
    def wait() -> None:
        release.wait(20)

    app.enqueue_many([wait.spec(), wait.spec()])
    # A claim locks more rows than it takes, and another worker that looks at that moment passes over them.
    stage.run("LISTEN durex_wake")
    work(concurrency=1)

    assert stage.hears_within(10)
    release.set()


class CountingDatabase(Database):
    """A database that remembers which statements went through it, and when."""

    def __init__(self, inner: Database) -> None:
        self.dialect = inner.dialect
        self.statements: list[str] = []
        self._last = monotonic_seconds()
        self._inner = inner

    def has_been_quiet_for(self, seconds: float) -> bool:
        return monotonic_seconds() - self._last > seconds

    @contextmanager
    def transaction(self):
        with self._inner.transaction() as connection:
            yield CountingConnection(connection, self)

    @contextmanager
    def autocommit(self):
        with self._inner.autocommit() as connection:
            yield CountingConnection(connection, self)

    def joined(self, raw):
        return self._inner.joined(raw)

    def count(self, statement: str) -> None:
        self._last = monotonic_seconds()
        self.statements.append(statement)

    def migrate(self):
        return self._inner.migrate()

    def close(self) -> None:
        self._inner.close()

    def poke(self) -> None:
        self.count("poke")
        self._inner.poke()

    def listen(self, timeout_seconds):
        return self._inner.listen(timeout_seconds)


class CountingConnection:
    def __init__(self, inner, counter) -> None:
        self.dialect = inner.dialect
        self.raw = inner.raw
        self._inner = inner
        self._counter = counter

    def run(self, statement, **parameters):
        self._counter.count(statement)
        return self._inner.run(statement, **parameters)
