"""A command whose time is over is handed over for its ending, once, and no attempt starts: from whatever state."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from factories import LEASE, QUEUE, START, compensation, error_info, new_command
from virtual_store import VirtualStore

from durex_core.model import ErrorInfo, Extras, State
from durex_core.rules.outcomes import Crashed, Expired, Failed, Released, Repeated, Returned

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
DEADLINE = START + HOUR


def test_a_deadline_counts_from_the_moment_when_the_command_is_due(store: VirtualStore):
    at_once = store.get(store.add(extras=Extras(deadline=MINUTE)))
    delayed = store.get(store.add(delay=HOUR, extras=Extras(deadline=MINUTE)))
    later = store.get(store.add(run_at=START + 2 * HOUR, extras=Extras(deadline=MINUTE)))

    assert [command.deadline_at for command in (at_once, delayed, later)] == [
        START + MINUTE,
        START + HOUR + MINUTE,
        START + 2 * HOUR + MINUTE,
    ]
    assert all(command.expires_at == command.deadline_at for command in (at_once, delayed, later))


def test_a_deadline_that_is_a_moment_counts_from_nothing(store: VirtualStore):
    stored = store.get(store.add(delay=HOUR, deadline_at=START + 2 * HOUR))

    assert stored.deadline_at == stored.expires_at == START + 2 * HOUR


@pytest.mark.parametrize("delay", [timedelta(0), MINUTE])
def test_the_limit_on_the_start_counts_from_the_moment_when_the_command_is_due(store: VirtualStore, delay: timedelta):
    stored = store.get(store.add(delay=delay, extras=Extras(start_within=SECOND)))

    assert (stored.deadline_at, stored.expires_at) == (None, START + delay + SECOND)


@pytest.mark.parametrize(("start_within", "expires"), [(SECOND, SECOND), (2 * HOUR, HOUR)])
def test_the_first_attempt_expires_at_the_earlier_of_deadline_and_limit_on_the_start(
    store: VirtualStore, start_within: timedelta, expires: timedelta
):
    stored = store.get(store.add(deadline_at=DEADLINE, extras=Extras(start_within=start_within)))

    assert stored.expires_at == START + expires


def test_the_limit_on_the_start_binds_the_first_attempt_alone(store: VirtualStore):
    command_id = store.add(retries=3, extras=Extras(start_within=MINUTE, deadline=HOUR))
    store.advance(MINUTE - MICROSECOND)
    attempt = store.claim_one()
    assert (attempt.is_overdue, attempt.expires_at) == (False, DEADLINE)

    store.advance(SECOND)
    assert store.settle(attempt, Failed(error_info(), delay=10 * MINUTE))
    assert store.get(command_id).expires_at == DEADLINE
    store.advance(10 * MINUTE)

    again = store.claim_one()
    assert (again.attempt, again.is_overdue) == (2, False)


def test_a_first_attempt_that_was_given_back_had_started(store: VirtualStore):
    attempt = store.start(extras=Extras(start_within=MINUTE))
    assert store.settle(attempt, Released("stopping"))
    store.advance(HOUR)

    again = store.claim_one()

    assert (again.attempt, again.is_overdue, again.expires_at) == (1, False, None)


# The states in which a command may be when its time is over. Each way stores a command with a deadline, or a limit on
# its start, lets it be over, and returns the command's id and the number of attempts that it has had.


def pending(store: VirtualStore) -> tuple[UUID, int]:
    return store.add(retries=3, deadline_at=DEADLINE), 0


def scheduled(store: VirtualStore) -> tuple[UUID, int]:
    return store.add(retries=3, delay=2 * HOUR, deadline_at=DEADLINE), 0


def promoted(store: VirtualStore) -> tuple[UUID, int]:
    command_id = store.add(retries=3, delay=SECOND, deadline_at=DEADLINE)
    store.advance(SECOND)
    assert store.dispatch() == [QUEUE]
    return command_id, 0


def started_too_late(store: VirtualStore) -> tuple[UUID, int]:
    return store.add(retries=3, extras=Extras(start_within=HOUR)), 0


def waiting(store: VirtualStore) -> tuple[UUID, int]:
    return store.add(retries=3, awaits=2, deadline_at=DEADLINE), 0


def between_attempts(store: VirtualStore) -> tuple[UUID, int]:
    attempt = store.start(retries=3, deadline_at=DEADLINE)
    assert store.settle(attempt, Failed(error_info(), delay=2 * HOUR))
    return attempt.id, 1


def released(store: VirtualStore) -> tuple[UUID, int]:
    attempt = store.start(retries=3, deadline_at=DEADLINE)
    assert store.settle(attempt, Released("stopping"))
    return attempt.id, 0


def repeating(store: VirtualStore) -> tuple[UUID, int]:
    attempt = store.start(retries=3, deadline_at=DEADLINE)
    assert store.settle(attempt, Repeated(delay=2 * HOUR))
    return attempt.id, 0


def crashed(store: VirtualStore) -> tuple[UUID, int]:
    """Nobody has taken its lease back yet."""
    return store.start(retries=3, deadline_at=DEADLINE).id, 1


def rescued(store: VirtualStore) -> tuple[UUID, int]:
    attempt = store.start(retries=3, deadline_at=DEADLINE)
    store.advance(LEASE)
    assert store.rescue() == [QUEUE]
    return attempt.id, 1


OVERDUE = [
    pending,
    scheduled,
    promoted,
    started_too_late,
    waiting,
    between_attempts,
    released,
    repeating,
    crashed,
    rescued,
]


@pytest.mark.parametrize("live", OVERDUE)
def test_an_overdue_command_is_claimed_once_for_its_ending_and_its_attempts_are_not_counted(
    store: VirtualStore, live: Callable[[VirtualStore], tuple[UUID, int]]
):
    command_id, attempts = live(store)
    before = store.get(command_id)
    store.now = DEADLINE - MICROSECOND
    assert live is crashed or store.next_due() == MICROSECOND

    store.now = DEADLINE
    ending = store.claim_one()

    assert (ending.id, ending.state, ending.attempt) == (command_id, State.STARTED, attempts)
    assert ending.lease_number == before.lease_number + 1
    assert ending.is_overdue
    assert not ending.is_overdrawn
    assert store.claim() == []
    assert store.settle(ending, Returned("whatever it says"))
    assert (store.get(command_id).state, store.get(command_id).attempt) == (State.EXPIRED, attempts)
    assert store.get(command_id).result is None


@pytest.mark.parametrize("live", [pending, scheduled, waiting, between_attempts, repeating])
def test_a_moment_before_the_end_of_its_time_a_command_is_not_overdue(
    store: VirtualStore, live: Callable[[VirtualStore], tuple[UUID, int]]
):
    live(store)
    store.now = DEADLINE - MICROSECOND

    assert not any(command.is_overdue for command in store.claim())


def test_an_ending_whose_worker_vanished_is_handed_over_again(store: VirtualStore):
    command_id = store.add(retries=3, deadline_at=START + SECOND)
    store.advance(SECOND)
    for lease_number in (1, 2, 3):
        ending = store.claim_one()
        assert (ending.attempt, ending.lease_number, ending.is_overdue) == (0, lease_number, True)
        store.advance(LEASE)

    assert store.settle(store.claim_one(), Expired())
    expired = store.get(command_id)
    assert (expired.state, expired.attempt, len(expired.history)) == (State.EXPIRED, 0, 3)


def test_the_error_says_whether_the_start_or_the_end_was_too_late(store: VirtualStore):
    too_late = store.add(extras=Extras(start_within=SECOND), deadline_at=DEADLINE)
    not_ended = store.add(queue="other", deadline_at=START + SECOND)
    store.advance(SECOND)

    for queue in (QUEUE, "other"):
        assert store.settle(store.claim_one(queue), Expired())

    assert store.get(too_late).error == ErrorInfo("StartedTooLate", "it had not started within 0:00:01 of being due")
    assert store.get(not_ended).error == ErrorInfo(
        "DeadlinePassed", "it had not ended by its deadline, 2026-03-01 12:00:01+00:00"
    )


def test_a_running_attempt_that_its_worker_ends_at_the_deadline_expires(store: VirtualStore):
    attempt = store.start(retries=3, deadline_at=START + SECOND)
    store.advance(SECOND)

    assert store.settle(attempt, Expired())

    expired = store.get(attempt.id)
    assert (expired.state, expired.attempt, expired.history) == (State.EXPIRED, 1, ())
    assert expired.error is not None
    assert expired.error.type == "DeadlinePassed"


def test_a_retry_that_waits_past_its_deadline_expires_at_the_deadline(store: VirtualStore):
    attempt = store.start(retries=3, deadline_at=DEADLINE, backoff={"kind": "constant", "delay": 86400})
    assert store.settle(attempt, Failed(error_info()))

    assert store.next_due() == HOUR
    store.now = DEADLINE
    ending = store.claim_one()

    assert (ending.attempt, ending.is_overdue) == (1, True)
    assert [past.outcome for past in ending.history] == ["failed"]


def test_a_budget_that_a_crash_has_spent_counts_as_a_failure_though_its_time_is_over_too(store: VirtualStore):
    attempt = store.start(retries=0, deadline_at=START + SECOND)
    store.advance(LEASE)

    ending = store.claim_one()

    assert (ending.is_overdrawn, ending.is_overdue) == (True, True)
    assert store.settle(ending, Crashed())
    assert store.get(attempt.id).state is State.DEAD_LETTER


def test_a_lease_that_lasts_is_not_taken_away_at_the_deadline(store: VirtualStore):
    attempt = store.start(deadline_at=START + SECOND)
    store.advance(SECOND)

    assert store.claim() == []
    assert store.next_due() == LEASE - SECOND
    assert store.settle(attempt, Returned("just in time"))
    assert store.get(attempt.id).state is State.COMPLETED


def test_what_is_overdue_is_weighed_with_what_is_ready(store: VirtualStore):
    low = store.add(priority=1)
    overdue = store.add(priority=2, delay=DAY, deadline_at=START + SECOND)
    high = store.add(priority=3)
    store.advance(SECOND)

    assert [store.claim_one(limit=1).id for _ in range(3)] == [high, overdue, low]


def test_of_several_that_are_overdue_a_claim_takes_those_first_whose_time_was_over_first(store: VirtualStore):
    ids = [store.add(delay=DAY, deadline_at=START + seconds * SECOND) for seconds in (3, 1, 2)]
    store.advance(MINUTE)

    claimed = [store.claim_one(limit=1).id for _ in ids]

    assert claimed == [ids[1], ids[2], ids[0]]


def test_a_claim_takes_no_more_than_its_limit_of_what_is_overdue_and_ready(store: VirtualStore):
    store.enqueue(*(new_command(queue=queue, deadline_at=START + SECOND) for queue in "ab" for _ in range(2)))
    store.advance(SECOND)
    store.enqueue(*(new_command(queue=queue) for queue in "ab"))

    taken = [store.claim("a", "b", limit=limit) for limit in (4, 1, 9)]

    assert [len(claimed) for claimed in taken] == [4, 1, 1]
    assert sum(command.is_overdue for claimed in taken for command in claimed) == 4


def test_what_is_overdue_in_other_queues_is_left_alone(store: VirtualStore):
    store.add(queue="other", deadline_at=START + SECOND)
    store.advance(SECOND)

    assert store.claim() == []


@pytest.mark.parametrize("live", [scheduled, waiting, between_attempts, repeating])
def test_a_queue_has_work_when_something_in_it_expires(
    store: VirtualStore, live: Callable[[VirtualStore], tuple[UUID, int]]
):
    live(store)
    store.now = DEADLINE - MINUTE

    assert store.next_due() == MINUTE
    assert store.due() == {QUEUE: MINUTE}
    store.now = DEADLINE + HOUR / 2
    assert store.next_due() == -HOUR / 2
    assert store.due() == {QUEUE: timedelta(0)}


def test_what_is_claimed_or_finished_does_not_expire_any_more(store: VirtualStore):
    attempt = store.start(deadline_at=DEADLINE)
    store.settle(store.start(deadline_at=DEADLINE), Returned())

    assert store.due() == {}
    assert store.next_due() == LEASE
    store.settle(attempt, Returned())
    assert store.next_due() is None


def test_dispatch_may_promote_what_is_overdue_and_it_expires_all_the_same(store: VirtualStore):
    command_id = store.add(delay=SECOND, deadline_at=START + MINUTE)
    store.advance(MINUTE)

    assert store.dispatch() == [QUEUE]

    ending = store.claim_one()
    assert (ending.id, ending.attempt, ending.is_overdue) == (command_id, 0, True)


def test_what_a_command_did_before_it_expired_is_undone(store: VirtualStore):
    attempt = store.start(deadline_at=START + SECOND)
    assert store.note(attempt, None, compensation())
    store.advance(SECOND)

    assert store.settle(store.get(attempt.id), Expired())

    assert store.claim_one("undo").parent_id == attempt.id
