"""Alarms and their book: set by the first who needs one, before it is written down, and known to all others."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from factories import START
from virtual_store import VirtualStore

from durex_core.errors import DatabaseUnavailable
from durex_core.operations import alarms as operations
from durex_core.operations.alarms import BookedAlarms
from durex_core.store import alarms
from durex_core.store.database import Database, open_database

BUCKET = timedelta(minutes=10)


class Scheduler:
    """Sets alarms, and looks into the book while it does; `works` says whether it succeeds."""

    def __init__(self, database: Database) -> None:
        self.set: list[datetime] = []
        self.works = True
        self._database = database

    def create(self, bucket: datetime) -> bool:
        assert bucket not in booked(self._database)
        if self.works:
            self.set.append(bucket)
        return self.works


def booked(database: Database) -> set[datetime]:
    """Return which of the buckets that tests use are in the book."""
    with database.autocommit() as connection:
        return {START + number * BUCKET for number in range(5) if alarms.is_booked(connection, START + number * BUCKET)}


@pytest.fixture
def scheduler(database: Database) -> Scheduler:
    """Whoever sets alarms."""
    return Scheduler(database)


@pytest.fixture
def process(database: Database, scheduler: Scheduler) -> Callable[[], BookedAlarms]:
    """Make a new process's alarms."""
    return lambda: BookedAlarms(lambda: database, scheduler)


def test_the_first_who_needs_an_alarm_sets_it_and_writes_it_down(database, scheduler, process):
    own = process()

    assert own.book(START)

    assert (scheduler.set, booked(database)) == ([START], {START})


def test_nobody_sets_it_again(database, scheduler, process):
    first, second = process(), process()

    assert [first.book(START), first.book(START), second.book(START), second.book(START)] == [True] * 4
    assert first.book(START + BUCKET)

    assert scheduler.set == [START, START + BUCKET]
    assert booked(database) == {START, START + BUCKET}


def test_who_knows_an_alarm_asks_nobody(process):
    own = process()
    own.book(START)

    own._database = lambda: pytest.fail("it asked")

    assert own.book(START)


def test_who_knows_very_many_forgets_them_and_asks_the_book(scheduler, process, monkeypatch):
    monkeypatch.setattr(operations, "_MOST_KNOWN", 2)
    own = process()

    for _ in range(2):
        assert all(own.book(START + number * BUCKET) for number in range(5))

    assert len(own._known) <= 2
    assert len(scheduler.set) == 5


def test_an_alarm_that_was_refused_is_not_in_the_book(database, scheduler, process):
    own = process()
    scheduler.works = False

    assert not own.book(START)
    assert booked(database) == set()

    scheduler.works = True
    assert own.book(START)
    assert booked(database) == {START}


def test_who_asks_nobody_leaves_the_book_alone(database, scheduler, process):
    assert process().create(START)

    assert (scheduler.set, booked(database)) == ([START], set())


def test_without_a_database_nothing_is_certain(scheduler):
    away = open_database("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(DatabaseUnavailable):
        BookedAlarms(lambda: away, scheduler).book(START)

    assert scheduler.set == []


def test_two_who_set_the_same_alarm_at_a_time_both_write_it_down(database):
    for _ in range(2):
        with database.autocommit() as connection:
            alarms.book(connection, START)

    assert booked(database) == {START}


def test_only_buckets_that_have_begun_are_forgotten(store: VirtualStore):
    buckets = [START + number * BUCKET for number in range(3)]
    with store.database.autocommit() as connection:
        for bucket in buckets:
            alarms.book(connection, bucket)

        assert alarms.prune(connection, now=START + BUCKET) == 1
        assert alarms.prune(connection, now=START + BUCKET) == 0
        assert alarms.prune(connection, now=START + BUCKET + timedelta(microseconds=1)) == 1

    assert booked(store.database) == {buckets[2]}
