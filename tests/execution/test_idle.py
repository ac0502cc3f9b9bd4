"""An idle worker runs no query while nothing is due, and nothing is left lying because of that."""

import threading
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from databases import on_database, run_on
from pooler import Pooler
from psycopg import sql
from staging import wait_until

from durex_core.clock import utc_now
from durex_core.local import worker as local_worker
from durex_core.local.bell import Bell, Ears, Jumps, LocalWake
from durex_core.local.rest import Rest
from durex_core.results import Repeat
from durex_core.store.sqlite import SqliteDatabase

SHORT = timedelta(seconds=0.4)  # a lease so short may run out on a busy machine: the commands have retries
LONG = timedelta(minutes=10)
FAR = timedelta(days=1)
QUIET_SECONDS = 1.0

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


class TracedSqlite(SqliteDatabase):
    """Keeps what SQLite itself tells of the statements that its connections run."""

    def __init__(self, path):
        super().__init__(path)
        self.statements = []

    def _connect(self):
        raw = super()._connect()
        raw.set_trace_callback(self.statements.append)
        return raw


@pytest.fixture
def trace(app, other, database_url, stage):
    """What the database itself knows of the statements of both applications; a look at `data_version` is none."""
    if stage.is_postgres:
        yield lambda: stage.run(
            "SELECT pid, query_start, query, sessions FROM pg_stat_activity JOIN pg_stat_database USING (datname)"
            " WHERE datname = current_database() AND application_name = 'durex' ORDER BY pid"
        )
        return
    with ExitStack() as stack:
        database = stack.enter_context(closing(TracedSqlite(database_url.removeprefix("sqlite:///"))))
        for one in (app, other):
            stack.enter_context(one.redirected(database, LocalWake(database, one._bell)))
        yield lambda: [statement for statement in database.statements if statement != "PRAGMA data_version"]


def is_quiet(trace):
    """Wait a while, and say whether nothing ran in it."""
    before = trace()
    threading.Event().wait(QUIET_SECONDS)
    return trace() == before


def let_rest():
    """Let workers be through with their second look."""
    threading.Event().wait(3 * SHORT.total_seconds())


def greet(app):
    app.command("greet", retries=9)(lambda: "hello")


def keep_house(app):
    app.command("keep_house", permanent=True, retries=9)(lambda: Repeat(delay=FAR))


def repeating(stage):
    return [row[0] for row in stage.run("SELECT id FROM commands WHERE state = 'repeating'")]


def test_idle_workers_run_no_query_at_all(app, other, trace, work, finished):
    for one in (app, other):
        greet(one)
        keep_house(one)
        work(one, lease=SHORT)
    app.enqueue("greet", delay=FAR)
    finished(app.enqueue("greet"))

    wait_until(lambda: is_quiet(trace))
    assert trace()
    assert finished(other.enqueue("greet")).result == "hello"


def test_one_that_is_always_to_be_there_is_back_soon_after_it_failed(app, work, stage):
    @app.command("keep_house", permanent=True)
    def fail() -> None:
        raise ValueError("broken")

    work(lease=SHORT)

    wait_until(lambda: len(stage.finished("keep_house")) > 2)


@on_postgres
def test_one_that_is_always_to_be_there_is_back_soon_after_somebody_cancelled_it(app, other, work, stage):
    keep_house(app)
    work(lease=SHORT)
    (first,) = wait_until(lambda: repeating(stage))
    let_rest()
    other.cancel(first)

    assert wait_until(lambda: repeating(stage), timeout_seconds=5) != [first]


@on_postgres
def test_an_idle_worker_sweeps_now_and_then(app, work, finished, stage, monkeypatch):
    monkeypatch.setattr(local_worker, "_SWEEP_EVERY_SECONDS", 1.0)
    greet(app)
    work(lease=LONG)
    fallen_through = app.enqueue("greet", delay=FAR)
    let_rest()
    stage.make_due()

    assert finished(fallen_through, timeout_seconds=10).result == "hello"


@pytest.fixture
def pooler(postgres_url):
    """Stands before the database."""
    with Pooler(postgres_url) as pooler:
        yield pooler


@on_postgres
def test_a_worker_that_cannot_be_sure_to_hear_of_work_looks_once_a_lease(app, pooler, work, finished, stage):
    app.use_database(pooler.url)
    greet(app)
    work(lease=SHORT)
    enqueued = app.enqueue("greet", delay=FAR)
    let_rest()
    stage.make_due()

    assert finished(enqueued, timeout_seconds=10).result == "hello"


@on_postgres
def test_a_worker_that_lost_its_ears_looks_once_a_lease(app, work, stage, database_url):
    began = threading.Event()
    app.command("greet", retries=9)(began.set)
    work(lease=SHORT)
    app.enqueue("greet", delay=FAR)
    let_rest()
    with refusing_connections(database_url):
        stage.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN durex_wake'")
        let_rest()
        stage.make_due()

        assert began.wait(10)


@on_postgres
def test_a_worker_that_could_not_give_up_a_lease_finds_it_when_it_is_over(app, work, finished, stage):
    """Its attempt has ended, but the database was away when that was to be stored."""
    app.command("greet", retries=1)(lambda: "hello")
    hand = work(lease=timedelta(seconds=1.2))
    finished(app.enqueue("greet"))
    left = app.enqueue("greet", delay=FAR)
    stage.start_elsewhere(left.id, lease_seconds=1)
    stage.run("UPDATE commands SET worker = %s", hand.worker.name)
    app._bell.ring()

    assert finished(left, timeout_seconds=10).lease_number == 2


@on_postgres
def test_ears_outlast_the_time_after_which_the_server_ends_idle_sessions(app, work, stage, database_url):
    stage.run(f"ALTER DATABASE {name_in(database_url)} SET idle_session_timeout = '200ms'")
    greet(app)
    work()
    listeners = "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN durex_wake'"
    first = wait_until(lambda: stage.run(listeners))
    threading.Event().wait(0.6)

    assert stage.run(listeners) == first


def name_in(url):
    return urlsplit(url).path.removeprefix("/")


@contextmanager
def refusing_connections(url):
    """Let nobody connect to a database during the block; who is connected stays so."""
    elsewhere, change = on_database(url, "postgres"), f"ALTER DATABASE {name_in(url)} ALLOW_CONNECTIONS"
    run_on(elsewhere, sql.SQL(f"{change} false"))
    try:
        yield
    finally:
        run_on(elsewhere, sql.SQL(f"{change} true"))


def looks(rest, *, due_after=10.0, hears_all=True):
    """Rest, and say whether what follows is a second look."""
    rest.take(due_after, hears_all=hears_all)
    return rest.is_second_look


def test_there_is_one_second_look_after_each_that_something_brought_about():
    bell = Bell()
    rest = Rest(bell, timedelta(seconds=0.05))

    assert looks(rest)
    assert not looks(rest, due_after=0.1)  # it waits for what is due, and not for a third look
    assert looks(rest)
    bell.ring()
    assert not looks(rest)
    assert looks(rest)


def test_who_does_not_hear_all_looks_again_and_again():
    rest = Rest(Bell(), timedelta(seconds=0.05))

    assert [looks(rest, hears_all=False) for _ in range(4)] == [True] * 4


def test_a_clock_that_jumps_is_noticed_and_one_that_goes_on_is_not():
    moment, seconds = datetime(2026, 1, 31, tzinfo=UTC), 0.0
    clock = Jumps(lambda: moment, lambda: seconds)

    told = []
    for on_the_wall, awake in ((60, 60), (3600, 0.2), (0.2, 0.2), (-3600, 0.2)):
        moment, seconds = moment + timedelta(seconds=on_the_wall), seconds + awake
        told.append(clock.has_jumped())
    assert told == [False, True, False, True]


@on_sqlite
def test_a_worker_looks_when_its_machine_has_slept(database):
    """Its wait did not go on meanwhile; what was due then is due at once."""
    slept = timedelta(0)
    bell = Bell()
    ears = Ears(database, bell, Jumps(lambda: utc_now() + slept))
    with closing(ears):
        wait_until(lambda: ears.are_sure)
        bell.wait(5)
        assert not bell.wait(0.5)
        slept = timedelta(hours=8)
        assert bell.wait(5)
