"""Enqueue and its wakes: who is told before the commit, who after it, and of what."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from aws_calls import ALARMS, Scheduler, Sqs
from staging import Stage

from durex_core import Durex, Spec
from durex_core.aws.alarm import SchedulerAlarms
from durex_core.aws.wake import SqsWake
from durex_core.clock import utc_now
from durex_core.errors import DatabaseUnavailable, InvalidSpec
from durex_core.operations.alarms import BookedAlarms
from durex_core.rules.wakes import Due, bucket_of
from durex_core.store.database import Database, open_database

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


class Witness:
    """Notes what it is told, and how many commands everybody else can see then."""

    def __init__(self, stage: Stage) -> None:
        self.heard: list[tuple[str, dict[str, Due], int]] = []
        self.breaks_at: str | None = None
        self.rings = True
        self._stage = stage

    def ahead(self, due: Mapping[str, Due]) -> bool:
        return self._note("ahead", due)

    def ready(self, due: Mapping[str, Due]) -> bool:
        return self._note("ready", due)

    def soon(self, due: Mapping[str, Due], connection: Any) -> bool:
        assert connection.run("schema/version")
        return self._note("soon", due)

    def _note(self, when: str, due: Mapping[str, Due]) -> bool:
        self.heard.append((when, dict(due), self._stage.count("commands")))
        if self.breaks_at == when:
            raise KeyboardInterrupt
        return self.rings or when != "ready"


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    """The test's own hand in the database."""
    made = Stage(database_url)
    yield made
    made.close()


@pytest.fixture
def witness(stage: Stage) -> Witness:
    """Who hears of work."""
    return Witness(stage)


@pytest.fixture
def app(database: Database, witness: Witness) -> Iterator[Durex]:
    """An application with two queues."""
    app = Durex()
    app.command("greet", queue="q")(lambda: None)
    app.command("carry", queue="other")(lambda: None)
    with app.redirected(database, witness):
        yield app


def test_wakes_are_on_their_way_before_the_commit_and_the_bell_rings_after_it(app, witness):
    app.enqueue("greet")

    assert witness.heard == [("ahead", {"q": Due()}, 0), ("ready", {"q": Due()}, 1)]


def test_each_queue_hears_of_its_soonest_and_of_how_many(app, witness):
    specs = [Spec("greet"), Spec("greet"), Spec("greet", delay=HOUR), Spec("carry", delay=HOUR)]

    app.enqueue_many(specs)

    due = {"q": Due(count=2), "other": Due(HOUR)}
    assert witness.heard == [("ahead", due, 0), ("ready", due, 4)]


def test_whoever_crashes_before_the_commit_has_woken_in_vain(app, witness, stage):
    witness.breaks_at = "ahead"

    with pytest.raises(KeyboardInterrupt):
        app.enqueue("greet")

    assert stage.count("commands") == 0


def test_whoever_crashes_right_after_the_commit_leaves_a_wake_behind(app, witness, stage):
    witness.breaks_at = "ready"

    with pytest.raises(KeyboardInterrupt):
        app.enqueue("greet")

    assert stage.count("commands") == 1
    assert witness.heard[0] == ("ahead", {"q": Due()}, 0)


def test_a_bell_that_does_not_ring_fails_no_caller(app, witness, stage):
    witness.rings = False

    assert app.enqueue("greet").created

    assert stage.count("commands") == 1


@pytest.mark.parametrize("key", [{"unique_key": "k"}, {"idempotency_key": "k"}])
def test_nobody_is_woken_for_what_was_there_already(app, witness, key):
    app.enqueue("greet", **key)
    witness.heard.clear()

    again = app.enqueue_many([Spec("greet", **key), Spec("carry")])

    assert [answer.created for answer in again] == [False, True]
    assert [heard for heard in witness.heard if heard[0] == "ready"] == [("ready", {"other": Due()}, 2)]


def test_if_all_were_there_already_the_bell_does_not_ring_at_all(app, witness):
    app.enqueue("greet", unique_key="k")
    witness.heard.clear()

    app.enqueue("greet", unique_key="k")

    # Beforehand nobody can know.
    assert witness.heard == [("ahead", {"q": Due()}, 1)]


def test_a_spec_that_is_refused_tells_nobody(app, witness, stage):
    with pytest.raises(InvalidSpec):
        app.enqueue_many([Spec("greet"), Spec("nobody knows it")])

    assert (witness.heard, stage.count("commands")) == ([], 0)
    assert app.enqueue_many([]) == []
    assert witness.heard == []


def test_without_a_database_nobody_is_told_of_a_commit(app, witness):
    away = open_database("postgresql://nobody@127.0.0.1:1/nothing")

    with app.redirected(away, witness), pytest.raises(DatabaseUnavailable):
        app.enqueue("greet")

    assert [heard[0] for heard in witness.heard] == ["ahead"]


def test_the_moment_of_a_command_that_is_to_run_at_it_counts_from_now(app, witness):
    app.enqueue("greet", run_at=utc_now() + HOUR)
    app.enqueue("carry", run_at=utc_now() - HOUR)

    delays = [each.delay for when, due, _ in witness.heard if when == "ahead" for each in due.values()]
    assert HOUR - 5 * SECOND < delays[0] <= HOUR
    assert delays[1] == timedelta(0)


def test_in_a_transaction_of_the_callers_it_is_told_once_and_before_the_commit(app, witness, database_url):
    connect = sqlite3.connect if database_url.startswith("sqlite") else psycopg.connect
    with closing(connect(database_url.removeprefix("sqlite:///"))) as connection:
        app.enqueue("greet", unique_key="k", connection=connection)
        app.enqueue("greet", unique_key="k", connection=connection)
        connection.commit()

    assert witness.heard == [("soon", {"q": Due()}, 0)]


@pytest.fixture
def scheduler() -> Scheduler:
    """EventBridge Scheduler."""
    return Scheduler()


@pytest.fixture
def sqs() -> Sqs:
    """SQS."""
    return Sqs()


@pytest.fixture
def sleeping(app: Durex, database: Database, scheduler: Scheduler, sqs: Sqs) -> Iterator[Durex]:
    """The application in a deployment that sleeps."""
    alarms = BookedAlarms(lambda: database, SchedulerAlarms(ALARMS, scheduler=scheduler))
    with app.redirected(database, SqsWake({"q": "u"}, alarms=alarms, sqs=sqs)):
        yield app


def test_what_is_due_later_has_its_alarm_before_the_commit_and_one_for_all(sleeping, stage, scheduler, sqs):
    visible = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        visible.append(stage.count("commands"))
        return scheduler.as_usual(request)

    scheduler.answer = answer
    moment = bucket_of(utc_now()) + 24 * HOUR
    for seconds in (0, 1, 599, 600):
        sleeping.enqueue("greet", run_at=moment + seconds * SECOND)

    assert scheduler.names == [f"{each:%Y%m%dT%H%MZ}" for each in (moment, moment + 600 * SECOND)]
    assert visible == [0, 3]
    assert (stage.count("alarms"), sqs.requests) == (2, [])


def test_what_is_ready_has_its_echo_before_the_commit_and_its_bell_after_it(sleeping, stage, sqs):
    visible = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        visible.append(stage.count("commands"))
        return {}

    sqs.answer = answer
    sleeping.enqueue("greet")

    echo, bell = sqs.delays
    assert (30 <= echo <= 60, bell, visible) == (True, 0, [0, 1])
