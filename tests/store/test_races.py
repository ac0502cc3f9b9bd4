"""Races, staged: one transaction is held open, the other one is seen waiting for it, and only then the first one ends.

Where both databases can do it, the same is told once more with threads that all start at the same moment.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from factories import LEASE, QUEUE, START, error_info, new_command
from racing import ChangedItsMind, Stage, at_once
from virtual_store import VirtualStore

from durex_core.errors import DatabaseBusy
from durex_core.model import Command, Enqueued, NewCommand, State
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Failed, Outcome, Repeated, Returned
from durex_core.store import commands
from durex_core.store.database import Connection, Database, Row

CLAIMERS = 8


def enqueue(connection: Connection, *new: NewCommand) -> list[Enqueued]:
    return commands.enqueue(connection, new, now=START)


KEYS = ["unique_key", "idempotency_key"]


@pytest.mark.parametrize("key", KEYS)
def test_an_enqueue_waits_for_the_other_one_with_its_key_and_yields_its_command(stage: Stage, key: str):
    first, second = new_command(**{key: "k"}), new_command(**{key: "k"})

    with stage.held_open() as connection:
        assert enqueue(connection, first) == [Enqueued(first.id, created=True)]
        running = stage.runs_into_it(lambda: stage.store.enqueue(second))

    assert running.result() == [Enqueued(first.id, created=False)]
    assert stage.store.find(second.id) is None


@pytest.mark.parametrize("key", KEYS)
def test_an_enqueue_that_waited_for_one_that_rolled_back_creates_its_own_command(stage: Stage, key: str):
    first, second = new_command(**{key: "k"}), new_command(**{key: "k"})

    with stage.held_open() as connection:
        enqueue(connection, first)
        running = stage.runs_into_it(lambda: stage.store.enqueue(second))
        raise ChangedItsMind

    assert running.result() == [Enqueued(second.id, created=True)]
    assert stage.store.find(first.id) is None


@pytest.mark.parametrize("order", ["abc", "cba"])
@pytest.mark.parametrize("key", KEYS)
def test_a_batch_that_waits_for_a_key_holds_none_that_comes_after_it(stage: Stage, key: str, order: str):
    """Whoever takes keys in their order never waits for one who waits: batches do not lock each other up."""
    batch = [new_command(**{key: name}) for name in order]

    def enqueue_once() -> list[Enqueued]:
        with stage.database.transaction() as connection:
            return enqueue(connection, *batch)

    with stage.held_open() as connection:
        (first,) = enqueue(connection, new_command(**{key: "a"}))
        running = stage.runs_into_it(enqueue_once)
        (last,) = enqueue(connection, new_command(**{key: "c"}))

    assert [(answer.id in {first.id, last.id}, answer.created) for answer in running.result()] == [
        (name != "b", name == "b") for name in order
    ]


def test_an_enqueue_waits_for_the_holder_of_its_unique_key_to_finish_and_takes_the_key(stage: Stage):
    holder = stage.store.start(unique_key="k")
    successor = new_command(unique_key="k")

    with stage.held_open() as connection:
        settle(connection, stage.store, holder, Returned())
        running = stage.runs_into_it(lambda: stage.store.enqueue(successor))

    assert running.result() == [Enqueued(successor.id, created=True)]


def test_an_enqueue_whose_key_frees_itself_between_its_two_looks_takes_it(stage: Stage):
    holder = stage.store.start(unique_key="k")
    successor = new_command(unique_key="k")

    with stage.database.transaction() as connection:
        interrupted = Interrupted(connection)
        interrupted.after["commands/enqueue"] = lambda: stage.store.settle(holder, Returned())
        assert enqueue(interrupted, successor) == [Enqueued(successor.id, created=True)]

    assert interrupted.ran == ["commands/enqueue", "commands/find_by_unique_key", "commands/enqueue"]


def test_an_enqueue_whose_key_changes_hands_all_the_time_says_that_the_database_is_busy(stage: Stage):
    with stage.database.transaction() as connection:
        interrupted = Interrupted(connection)
        interrupted.before["commands/enqueue"] = lambda: stage.store.add(unique_key="k")
        interrupted.after["commands/enqueue"] = lambda: stage.store.settle(stage.store.claim_one(), Returned())

        with pytest.raises(DatabaseBusy, match=r"unique_key 'k' changed hands 5 times; try again"):
            enqueue(interrupted, new_command(unique_key="k"))


def test_a_claim_passes_over_the_rows_that_another_claim_holds(stage: Stage):
    new = [new_command(priority=priority) for priority in (3, 2, 1)]
    stage.store.enqueue(*new)
    with stage.held_open() as connection:
        first = commands.claim(connection, [QUEUE], limit=2, lease=LEASE, worker="first", now=START).commands

        second = stage.store.claim(worker="second")

    assert [command.id for command in first] == [command.id for command in new[:2]]
    assert [command.id for command in second] == [new[2].id]


@pytest.mark.parametrize("kind", ["scheduled", "overdue", "expired"])
def test_a_claim_passes_over_due_overdue_and_expired_rows_that_another_claim_holds(stage: Stage, kind: str):
    if kind == "scheduled":
        stage.store.enqueue(*(new_command(delay=timedelta(seconds=1)) for _ in range(3)))
    elif kind == "overdue":
        stage.store.enqueue(*(new_command(awaits=1, deadline_at=START + LEASE) for _ in range(3)))
    else:
        stage.store.enqueue(*(new_command(retries=1) for _ in range(3)))
        stage.store.claim()
    stage.store.advance(LEASE)

    with stage.held_open() as connection:
        first = commands.claim(connection, [QUEUE], limit=2, lease=LEASE, worker="first", now=stage.store.now).commands
        assert stage.store.rescue() == [QUEUE] * (kind == "expired")
        second = stage.store.claim(worker="second")

    assert (len(first), len(second)) == (2, 1)
    assert not {command.id for command in first} & {command.id for command in second}


def test_rows_of_a_claim_that_rolled_back_are_claimed_again_with_no_trace(stage: Stage):
    command_id = stage.store.add()

    with stage.held_open() as connection:
        commands.claim(connection, [QUEUE], limit=1, lease=LEASE, worker="first", now=START)
        raise ChangedItsMind

    claimed = stage.store.claim_one()
    assert (claimed.id, claimed.attempt, claimed.lease_number, claimed.history) == (command_id, 1, 1, ())


OUTCOMES = [Returned("done"), Failed(error_info()), Repeated("so far")]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finish", "put back", "repeat"])
def test_a_settle_that_waited_for_a_rescue_of_its_row_is_refused(stage: Stage, outcome: Outcome):
    attempt = stage.store.start(retries=1)
    in_time, too_late = START + LEASE - timedelta(seconds=1), START + LEASE

    with stage.held_open() as connection:
        assert commands.rescue(connection, limit=1, now=too_late) == [QUEUE]
        stage.store.now = in_time  # as its own clock says, it is in time
        running = stage.runs_into_it(lambda: stage.store.settle(attempt, outcome))

    assert running.result() is False
    assert [past.outcome for past in stage.store.get(attempt.id).history] == ["crashed"]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finish", "put back", "repeat"])
def test_a_settle_that_waited_for_a_rescue_that_rolled_back_is_taken(stage: Stage, outcome: Outcome):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        commands.rescue(connection, limit=1, now=START + LEASE)
        running = stage.runs_into_it(lambda: stage.store.settle(attempt, outcome))
        raise ChangedItsMind

    assert running.result() is True


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finish", "put back", "repeat"])
def test_a_rescue_passes_over_a_row_that_is_being_settled(stage: Stage, outcome: Outcome):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        assert settle(connection, stage.store, attempt, outcome)
        stage.store.advance(LEASE)
        assert stage.store.rescue() == []
        assert stage.store.claim() == []

    assert stage.store.rescue() == []
    assert "crashed" not in [past.outcome for past in stage.store.get(attempt.id).history]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finish", "put back", "repeat"])
def test_a_settle_that_waited_for_a_claim_that_took_its_row_over_is_refused(stage: Stage, outcome: Outcome):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        (successor,) = commands.claim(
            connection, [QUEUE], limit=1, lease=LEASE, worker="fresh", now=START + LEASE
        ).commands
        running = stage.runs_into_it(lambda: stage.store.settle(attempt, outcome))

    assert running.result() is False
    assert stage.store.get(attempt.id) == successor


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finish", "put back", "repeat"])
def test_a_settle_that_waited_for_a_cancellation_of_its_row_is_refused(stage: Stage, outcome: Outcome):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        commands.cancel(connection, [attempt.id], "by hand", now=START)
        running = stage.runs_into_it(lambda: stage.store.settle(attempt, outcome))

    assert running.result() is False
    assert [run.state for run in stage.store.runs(attempt.id)] == [State.CANCELLED]


@pytest.mark.parametrize(
    ("outcome", "states"),
    [
        (Returned("done"), [State.COMPLETED]),
        (Failed(error_info()), [State.CANCELLED]),
        (Repeated("so far"), [State.COMPLETED, State.CANCELLED]),
    ],
    ids=["finish", "put back", "repeat"],
)
def test_a_cancellation_that_waited_for_a_settle_takes_what_is_left(
    stage: Stage, outcome: Outcome, states: list[State]
):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        settle(connection, stage.store, attempt, outcome)
        running = stage.runs_into_it(lambda: stage.store.cancel(attempt.id))

    assert len(running.result()[0]) == states.count(State.CANCELLED)
    assert [run.state for run in stage.store.runs(attempt.id)] == states


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["finish", "put back", "repeat"])
def test_a_settle_that_waited_for_a_heartbeat_is_taken(stage: Stage, outcome: Outcome):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        commands.heartbeat(connection, [attempt], lease=2 * LEASE, now=START)
        running = stage.runs_into_it(lambda: stage.store.settle(attempt, outcome))

    assert running.result() is True
    assert stage.store.find(attempt.id) is not None


def test_a_note_that_waited_for_a_rescue_is_refused(stage: Stage):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        commands.rescue(connection, limit=1, now=START + LEASE)
        running = stage.runs_into_it(lambda: stage.store.note(attempt, "too late"))

    assert running.result() is False
    assert stage.store.get(attempt.id).progress is None


def test_a_heartbeat_that_waited_for_a_rescue_is_refused(stage: Stage):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        commands.rescue(connection, limit=1, now=START + LEASE)
        running = stage.runs_into_it(lambda: stage.store.heartbeat(attempt))

    assert running.result() is False
    assert stage.store.get(attempt.id).state is State.PENDING


def test_a_lease_whose_heartbeat_is_being_written_is_not_rescued(stage: Stage):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        commands.heartbeat(connection, [attempt], lease=2 * LEASE, now=START)
        stage.store.advance(LEASE)
        assert stage.store.rescue() == []
        assert stage.store.claim() == []

    assert stage.store.rescue() == []
    assert stage.store.heartbeat(attempt)


def test_of_two_reports_of_one_attempt_the_first_is_taken(stage: Stage):
    attempt = stage.store.start(retries=1)

    with stage.held_open() as connection:
        settle(connection, stage.store, attempt, Failed(error_info()))
        running = stage.runs_into_it(lambda: stage.store.settle(attempt, Returned()))

    assert running.result() is False
    assert stage.store.get(attempt.id).state is State.PENDING


def test_threads_that_claim_at_once_share_the_commands_without_doubles(database: Database):
    store = VirtualStore(database)
    expected = {answer.id for answer in store.enqueue(*(new_command() for _ in range(200)))}

    claimed = at_once(CLAIMERS, lambda worker: claim_all(store, f"worker {worker}"))

    ids = [command.id for share in claimed for command in share]
    assert len(ids) == len(set(ids))
    assert set(ids) == expected


@pytest.mark.parametrize("key", KEYS)
def test_of_threads_that_enqueue_one_key_at_once_one_creates(database: Database, key: str):
    store = VirtualStore(database)

    answers = at_once(CLAIMERS, lambda _: store.enqueue(new_command(**{key: "k"}))[0])

    assert sum(answer.created for answer in answers) == 1
    assert len({answer.id for answer in answers}) == 1
    assert store.count("commands") == 1


def test_of_threads_that_settle_one_attempt_at_once_one_is_taken(database: Database):
    store = VirtualStore(database)
    attempt = store.start()

    taken = at_once(CLAIMERS, lambda worker: store.settle(attempt, Returned(worker)))

    assert sum(taken) == 1
    assert store.get(attempt.id).result == taken.index(True)


class Interrupted:
    """A connection in whose pauses others act."""

    def __init__(self, connection: Connection) -> None:
        """Pass everything on."""
        self.dialect = connection.dialect
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}
        self.ran: list[str] = []
        self._connection = connection

    def run(self, statement: str, **parameters: Any) -> list[Row]:
        """Run the statement, between what others do."""
        self.ran.append(statement)
        self.before.get(statement, int)()
        answer = self._connection.run(statement, **parameters)
        self.after.get(statement, int)()
        return answer


def settle(connection: Connection, store: VirtualStore, attempt: Command, outcome: Outcome) -> bool:
    return not commands.settle(connection, [decide(attempt, outcome, 0.5)], now=store.now).lost


def claim_all(store: VirtualStore, worker: str) -> list[Command]:
    share: list[Command] = []
    while claimed := store.claim(limit=7, worker=worker):
        share += claimed
    return share
