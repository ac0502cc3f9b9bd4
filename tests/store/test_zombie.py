"""The zombie: an attempt that goes on after its lease is over, and then reports.

Read this file first. durex promises that a zombie changes nothing: whatever it says, however late, and whatever has
become of its command meanwhile. Every write of an attempt names `(id, lease_number)` and needs a live lease;
`lease_number` rises at each claim and never falls. Each test here fails if a part of that fence is taken out of
`finish.sql`, `repeat.sql`, `put_back.sql`, `heartbeat.sql` or `note.sql`.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import LEASE, error_info, new_command
from reports import REPORTS, failure_of_the_hook
from virtual_store import VirtualStore, query, schema_of

from durex_core.clock import monotonic_seconds
from durex_core.model import Command, State
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Failed, HandlerMissing, Released, Repeated, Returned
from durex_core.store import commands
from durex_core.store.commands import fence
from durex_core.store.database import Database, open_database
from durex_core.store.sqlite import SqliteConnection

SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)


def test_a_rescued_attempt_cannot_finish(store: VirtualStore):
    command_id = store.add(retries=3)
    zombie = store.claim_one(worker="stalled")
    store.advance(LEASE)
    store.rescue()
    successor = store.claim_one(worker="fresh")
    before = store.rows()

    assert not store.settle(zombie, Returned("too late"))

    assert store.rows() == before
    assert (successor.attempt, successor.lease_number) == (2, 2)
    assert store.settle(successor, Returned("in time"))
    assert store.get(command_id).result == "in time"


def test_a_lease_that_ends_while_its_settlement_is_written_holds_for_all_of_it_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On SQLite a settlement is several statements: who is told that it held, and what is written, must agree."""
    lease = timedelta(milliseconds=200)
    database = open_database(f"sqlite:///{tmp_path}/slow.db")
    database.migrate()
    with database.autocommit() as connection:
        command = new_command()
        commands.enqueue(connection, [command])
        (attempt,) = commands.claim(connection, [command.queue], limit=1, lease=lease, worker="slow").commands
        ended_at = monotonic_seconds() + lease.total_seconds()
        rows = SqliteConnection._rows

        def slow(self: SqliteConnection, *part: Any) -> list[Any]:
            answer = rows(self, *part)
            threading.Event().wait(max(0.0, ended_at - monotonic_seconds()) + 0.01)
            return answer

        monkeypatch.setattr(SqliteConnection, "_rows", slow)
        settled = commands.settle(connection, [decide(attempt, Returned("in time"), 0.5)])
        monkeypatch.setattr(SqliteConnection, "_rows", rows)
        state = commands.get(connection, attempt.id).state
    database.close()
    assert (settled.lost, state) == (set(), State.COMPLETED)


# How an attempt may lose its lease. Each way starts an attempt, takes its command away, and returns the attempt.


def expired(store: VirtualStore) -> Command:
    """Nobody has claimed the command anew, but somebody may at any moment."""
    zombie = store.start(retries=3)
    store.advance(LEASE)
    return zombie


def taken_over(store: VirtualStore) -> Command:
    """A claim took the expired lease, before any rescue did."""
    zombie = expired(store)
    store.claim_one(worker="fresh")
    return zombie


def rescued(store: VirtualStore) -> Command:
    """A rescue took the lease back, and nobody has claimed the command yet."""
    zombie = expired(store)
    store.rescue()
    return zombie


def rescued_and_claimed(store: VirtualStore) -> Command:
    zombie = rescued(store)
    store.claim_one(worker="fresh")
    return zombie


def overdrawn(store: VirtualStore) -> Command:
    """The last attempt of the budget crashed: the command was claimed for its ending, under the same attempt number."""
    zombie = store.start(retries=0)
    store.advance(LEASE)
    ending = store.claim_one(worker="fresh")
    assert ending.attempt == zombie.attempt
    return zombie


def failed(store: VirtualStore) -> Command:
    """The attempt has failed, and its command waits for the next one."""
    zombie = store.start(retries=3)
    assert store.settle(zombie, Failed(error_info()))
    return zombie


def failed_and_claimed(store: VirtualStore) -> Command:
    zombie = failed(store)
    store.claim_one(worker="fresh")
    return zombie


def released(store: VirtualStore) -> Command:
    """The worker gave the command back while the handler still ran."""
    zombie = store.start(retries=3)
    assert store.settle(zombie, Released("the worker stopped"))
    return zombie


def released_and_claimed(store: VirtualStore) -> Command:
    """The attempt was not counted: the next one has the same number, and only the lease tells them apart."""
    zombie = released(store)
    successor = store.claim_one(worker="fresh")
    assert successor.attempt == zombie.attempt
    return zombie


def without_handler_and_claimed(store: VirtualStore) -> Command:
    zombie = store.start(retries=3)
    assert store.settle(zombie, HandlerMissing())
    store.advance(SECOND)
    store.claim_one(worker="fresh")
    return zombie


def completed(store: VirtualStore) -> Command:
    """The attempt ended its command and reports once more."""
    zombie = store.start(retries=3)
    assert store.settle(zombie, Returned("first"))
    return zombie


def completed_by_another(store: VirtualStore) -> Command:
    zombie = taken_over(store)
    successor = store.get(zombie.id)
    assert store.settle(successor, Returned("by another"))
    return zombie


def dead_lettered(store: VirtualStore) -> Command:
    zombie = store.start(retries=3)
    assert store.settle(zombie, Failed(error_info(), retryable=False))
    return zombie


def repeated(store: VirtualStore) -> Command:
    """The run has ended, and the next one waits for its moment."""
    zombie = store.start(retries=3)
    assert store.settle(zombie, Repeated(delay=SECOND))
    return zombie


def repeated_and_claimed(store: VirtualStore) -> Command:
    """The next run has the same id, and its first attempt the same number: only the lease tells them apart."""
    zombie = repeated(store)
    store.advance(SECOND)
    successor = store.claim_one(worker="fresh")
    assert (successor.id, successor.attempt) == (zombie.id, zombie.attempt)
    return zombie


def repeated_and_completed(store: VirtualStore) -> Command:
    zombie = repeated_and_claimed(store)
    assert store.settle(store.get(zombie.id), Returned("second run"))
    return zombie


def repeated_by_another(store: VirtualStore) -> Command:
    zombie = taken_over(store)
    assert store.settle(store.get(zombie.id), Repeated(delay=SECOND))
    return zombie


def cancelled(store: VirtualStore) -> Command:
    """Somebody cancelled the command while it ran."""
    zombie = store.start(retries=3)
    assert [command.id for command in store.cancel(zombie.id)[0]] == [zombie.id]
    return zombie


def overdue(store: VirtualStore) -> Command:
    """The time of the command was over, and a claim took it for its ending under the same attempt number."""
    zombie = store.start(retries=3, deadline_at=store.now + SECOND)
    store.advance(LEASE)
    ending = store.claim_one(worker="fresh")
    assert (ending.attempt, ending.is_overdue) == (zombie.attempt, True)
    return zombie


def left_to_its_hook(store: VirtualStore) -> Command:
    """The attempt has failed for good, its hook has failed, and somebody else tries the hook again."""
    zombie = store.start(retries=3)
    assert failure_of_the_hook(store, zombie)
    store.advance(SECOND)
    ending = store.claim_one(worker="fresh")
    assert ending.attempt == zombie.attempt
    return zombie


WAYS_TO_LOSE_A_LEASE = [
    expired,
    taken_over,
    rescued,
    rescued_and_claimed,
    overdrawn,
    failed,
    failed_and_claimed,
    released,
    released_and_claimed,
    without_handler_and_claimed,
    completed,
    completed_by_another,
    dead_lettered,
    repeated,
    repeated_and_claimed,
    repeated_and_completed,
    repeated_by_another,
    cancelled,
    overdue,
    left_to_its_hook,
]


@pytest.mark.parametrize("lose_lease", WAYS_TO_LOSE_A_LEASE)
def test_a_zombie_changes_no_column_of_any_row(store: VirtualStore, lose_lease: Callable[[VirtualStore], Command]):
    zombie = lose_lease(store)
    before = store.rows()

    for report in REPORTS:
        assert not report(store, zombie), report

        assert store.rows() == before, report


@pytest.mark.parametrize("report", REPORTS)
def test_the_same_report_in_time_is_taken(store: VirtualStore, report: Callable[[VirtualStore, Command], bool]):
    in_time = store.start(retries=3)
    store.advance(LEASE - MICROSECOND)
    before = store.rows()

    assert report(store, in_time)

    assert store.rows() != before


def test_a_lease_ends_at_the_moment_when_it_may_be_claimed(store: VirtualStore):
    holder = store.start(retries=3)

    store.advance(LEASE - MICROSECOND)
    assert store.claim() == []
    assert store.rescue() == []

    store.advance(MICROSECOND)
    for report in REPORTS:
        assert not report(store, holder), report
    assert [taken.id for taken in store.claim()] == [holder.id]


def test_a_command_that_is_not_started_takes_no_report_even_if_a_live_lease_was_left_on_it(database: Database):
    store = VirtualStore(database)
    attempt = store.start(retries=3)
    with database.autocommit() as connection:
        # The schema forbids such a row; the fence does not lean on that.
        if connection.dialect == "postgres":
            query(connection, "ALTER TABLE durex.commands DROP CONSTRAINT commands_check")
        else:
            query(connection, "PRAGMA ignore_check_constraints = ON")
        query(connection, f"UPDATE {schema_of(connection)}commands SET state = 'pending'")
    before = store.rows()

    for report in REPORTS:
        assert not report(store, attempt), report

        assert store.rows() == before, report


def test_a_zombie_that_reports_in_one_batch_with_its_successor_is_the_only_one_refused(store: VirtualStore):
    zombie = taken_over(store)
    successor = store.get(zombie.id)

    settled = store.end(decide(zombie, Returned("too late"), 0.5), decide(successor, Returned("in time"), 0.5))

    assert settled.lost == {fence(zombie)}
    assert store.get(zombie.id).result == "in time"


@pytest.mark.parametrize(
    "report", [Returned("in time"), Repeated("in time"), Failed(error_info()), Released("stopping")]
)
def test_a_zombie_that_reports_in_one_batch_with_its_successor_enqueues_nothing(store: VirtualStore, report):
    zombie = taken_over(store)
    successor = store.get(zombie.id)
    late_child = new_command(queue="children")
    late = decide(zombie, Returned("too late", (late_child,)), 0.5)

    store.write(late, decide(successor, report, 0.5))

    assert store.find(late_child.id) is None


def test_a_zombie_is_refused_among_neighbours_whose_reports_are_taken(store: VirtualStore):
    zombie = taken_over(store)
    neighbour = store.start()

    assert not store.write(decide(zombie, Returned("too late"), 0.5), decide(neighbour, Returned("in time"), 0.5))

    assert store.get(zombie.id).state is State.STARTED
    assert store.get(neighbour.id).result == "in time"


def test_a_successor_lives_on_undisturbed_after_its_zombie_has_said_everything(store: VirtualStore):
    zombie = released_and_claimed(store)
    successor = store.get(zombie.id)

    for report in REPORTS:
        assert not report(store, zombie)

    assert store.heartbeat(successor)
    assert store.settle(successor, Returned("in time"))
    assert store.get(zombie.id).result == "in time"
