"""Virtual time reaches every statement that asks for the time, through whatever part of the application runs it."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from factories import LEASE, START, new_command

import durex_core
from durex_core.backoff import Constant
from durex_core.model import RetentionPolicy, State
from durex_core.passes.prune import prune
from durex_core.store import commands, statements
from durex_core.store.database import open_database
from durex_core.testing import VirtualClock, VirtualTimeDatabase
from durex_core.testing.database import VirtualTimeConnection

HOUR = timedelta(hours=1)
TIMED = [name for name in statements.names("postgres") if "now" in statements.load("postgres", name).parameters]
SQL = sorted((Path(durex_core.__file__).parent / "sql").rglob("*.sql"))


class Recorder:
    """A connection that remembers what it was given."""

    dialect = "sqlite"
    raw = "the driver's own"

    def __init__(self):
        self.ran = {}

    def run(self, statement, **parameters):
        self.ran[statement] = parameters
        return []

    select = run


@pytest.mark.parametrize("name", TIMED)
def test_a_statement_that_asks_for_the_time_is_told_the_virtual_now(name):
    recorder, clock = Recorder(), VirtualClock(START)
    connection = VirtualTimeConnection(recorder, clock)

    connection.run(name, limit=1)
    assert recorder.ran[name] == {"limit": 1, "now": START}
    clock.advance(HOUR)
    connection.run(name, limit=1, now=None)
    assert recorder.ran[name] == {"limit": 1, "now": START + HOUR}
    connection.run(name, now=START)
    assert recorder.ran[name] == {"now": START}


def test_a_composed_query_is_told_the_virtual_now_too():
    recorder = Recorder()

    VirtualTimeConnection(recorder, VirtualClock(START)).select("SELECT :now", limit=1)

    assert recorder.ran["SELECT :now"] == {"limit": 1, "now": START}


def test_a_connection_is_the_wrapped_one_in_everything_else():
    assert VirtualTimeConnection(Recorder(), VirtualClock()).raw == "the driver's own"


@pytest.mark.parametrize("file", SQL, ids=lambda file: f"{file.parts[-3]}-{file.parts[-2]}-{file.stem}")
def test_no_statement_reads_a_clock_but_by_its_now(file):
    code = re.sub(r"--.*", "", file.read_text())

    assert not re.search(r"(?<!:)\bnow\b|_timestamp\b|\bcurrent_(time|date)\b|julianday|strftime|datetime", code)


def test_every_moment_of_a_life_is_virtual(app, harness):
    @app.command("fetch", retries=2, backoff=Constant(HOUR))
    def fetch(ctx):
        if ctx.attempt < 3:
            raise ValueError("not yet")

    fetch.enqueue(delay=HOUR)
    harness.advance(timedelta(days=1))

    (command,) = harness.commands()
    assert (command.created_at, command.ready_at) == (START, START + 3 * HOUR)
    assert (command.started_at, command.finished_at) == (START + 3 * HOUR, START + 3 * HOUR)
    assert [(past.started_at, past.ended_at) for past in command.history] == [
        (START + HOUR, START + HOUR),
        (START + 2 * HOUR, START + 2 * HOUR),
    ]


def test_leases_and_heartbeats_are_on_virtual_time(app, harness):
    @app.command("fetch")
    def fetch():
        pass

    fetch.enqueue()
    (claimed,) = claim(app)
    assert claimed.lease_expires_at == START + LEASE
    harness.clock.advance(LEASE - timedelta(microseconds=1))
    with app.database.autocommit() as connection:
        assert len(commands.heartbeat(connection, [claimed], lease=LEASE)) == 1
    harness.clock.advance(LEASE)
    with app.database.autocommit() as connection:
        assert len(commands.heartbeat(connection, [claimed], lease=LEASE)) == 0


def test_pruning_is_on_virtual_time(app, harness):
    @app.command("fetch")
    def fetch():
        pass

    fetch.enqueue(idempotency_key="once")
    harness.run_until_idle()
    policy = RetentionPolicy()

    harness.clock.advance(policy.completed - HOUR)
    assert prune(app.database, policy).commands == 0
    harness.clock.advance(timedelta(days=365))
    pruned = prune(app.database, policy)
    assert (pruned.commands, pruned.keys, harness.commands()) == (1, 1, [])


def test_what_is_stored_through_the_database_itself_is_on_virtual_time_too(database):
    virtual = VirtualTimeDatabase(database, VirtualClock(START))

    (enqueued,) = virtual.transact(lambda connection: commands.enqueue(connection, [new_command()]))

    with virtual.autocommit() as connection:
        assert commands.get(connection, enqueued.id).created_at == START


def test_closing_leaves_the_wrapped_database_to_its_owner():
    owned = open_database("sqlite:///:memory:")
    virtual = VirtualTimeDatabase(owned, VirtualClock(START))
    virtual.migrate()

    virtual.close()

    assert virtual.run("schema/version")
    virtual.poke()
    owned.close()


def test_other_processes_are_listened_to_through_the_wrapped_database(database):
    virtual = VirtualTimeDatabase(database, VirtualClock(START))

    with virtual.listen(5.0) as pokes:
        virtual.transact(lambda connection: commands.enqueue(connection, [new_command()]))
        virtual.poke()
        assert pokes.wait()


def test_a_crash_counts_when_its_lease_has_run_out_in_virtual_time(app, harness):
    @app.command("fetch", retries=1)
    def fetch(ctx):
        return ctx.attempt

    fetch.enqueue()
    claim(app)

    assert harness.run_until_idle() == 0
    harness.clock.advance(LEASE)
    assert harness.run_until_idle() == 1
    (command,) = harness.commands()
    assert (command.state, command.result) == (State.COMPLETED, 2)
    assert [(past.outcome, past.worker) for past in command.history] == [("crashed", "lost")]


def test_advancing_stops_at_the_end_of_a_lease_and_a_crash_may_be_the_last_attempt(app, harness):
    @app.command("fetch")
    def fetch():
        raise AssertionError("there is no attempt left")

    fetch.enqueue()
    claim(app)
    harness.advance(HOUR)

    (command,) = harness.failures
    assert (command.error.type, command.finished_at) == ("Crashed", START + LEASE)


def test_a_handler_during_which_its_lease_runs_out_is_a_crash_as_well(app, harness):
    @app.command("slow", retries=1)
    def slow(ctx):
        if ctx.attempt == 1:
            harness.clock.advance(2 * LEASE)
        return ctx.attempt

    slow.enqueue()
    harness.run_until_idle()

    (command,) = harness.commands()
    assert (command.result, [past.outcome for past in command.history]) == (2, ["crashed"])


def claim(app):
    """Take what is ready, as a worker does that then vanishes."""
    with app.database.autocommit() as connection:
        return commands.claim(connection, app.registry.queues, limit=10, lease=LEASE, worker="lost").commands
