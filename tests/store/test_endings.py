"""A command whose attempts are over is left to its hook: it is tried until it succeeds, and no attempt starts again.

What a worker does with the hook of an ending is shown here with the settlements that it writes.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from factories import LEASE, START, compensation, error_info, new_command, new_join
from joining import claim, end
from virtual_store import VirtualStore

from durex_core.model import CRASHED, HOOK_FAILED, Command, Ending, ErrorInfo, PastAttempt, Recovery, State
from durex_core.rules.endings import MAX_HOOK_TRIES, ending_of, hook_failed, recovered
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Crashed, Expired, Failed, Outcome, Returned, Settlement

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
BROKEN = error_info(type="HookError", message="the hook is broken", traceback=None)
FOR_GOOD = Failed(error_info(), retryable=False)


def conclusion(command: Command, outcome: Outcome = FOR_GOOD) -> Settlement:
    """Return what an attempt comes to, or the ending for which a command was claimed."""
    return decide(command, ending_of(command) or outcome, 0.5)


def fail_hook(store: VirtualStore, command: Command, outcome: Outcome = FOR_GOOD) -> Settlement:
    """Store that the hook failed."""
    settlement = hook_failed(conclusion(command, outcome), BROKEN, retryable=True)
    assert store.write(settlement)
    return settlement


def succeed(store: VirtualStore, command: Command, outcome: Outcome = FOR_GOOD) -> None:
    """Store that the hook ran, and enqueued nothing."""
    assert store.write(recovered(conclusion(command, outcome), ()))


def claim_when_due(store: VirtualStore) -> Command:
    """Let the hook's delay pass, and claim the command."""
    due = store.next_due()
    assert due is not None
    store.advance(max(due, timedelta(0)))
    return store.claim_one()


# The ways to an ending that has a hook. Each returns the claim in which the hook is first to run, with the outcome.


def failed_for_good(store: VirtualStore) -> tuple[Command, Outcome]:
    """It has attempts left, which it is not to have."""
    return store.start(retries=5), FOR_GOOD


def failed_at_last(store: VirtualStore) -> tuple[Command, Outcome]:
    return store.start(retries=0), Failed(error_info(), how="timed_out")


def crashed_at_last(store: VirtualStore) -> tuple[Command, Outcome]:
    store.start(retries=0)
    store.advance(LEASE)
    ending = store.claim_one()
    assert ending.is_overdrawn
    return ending, Crashed()


def expired_before_its_start(store: VirtualStore) -> tuple[Command, Outcome]:
    store.add(retries=5, deadline_at=START + SECOND)
    store.advance(SECOND)
    return store.claim_one(), Expired()


def expired_mid_attempt(store: VirtualStore) -> tuple[Command, Outcome]:
    attempt = store.start(retries=5, deadline_at=START + SECOND)
    store.advance(SECOND)
    return attempt, Expired()


def expired_between_attempts(store: VirtualStore) -> tuple[Command, Outcome]:
    attempt = store.start(retries=5, deadline_at=START + SECOND)
    assert store.settle(attempt, Failed(error_info(), delay=HOUR))
    store.advance(SECOND)
    return store.claim_one(), Expired()


def waited_in_vain(store: VirtualStore) -> tuple[Command, Outcome]:
    waiting, child = new_join(1, then={"retries": 5})
    store.enqueue(waiting, child)
    end(store, (claim(store, child), FOR_GOOD))
    return store.claim_one(), Returned("whatever it says")


WAYS = [
    failed_for_good,
    failed_at_last,
    crashed_at_last,
    expired_before_its_start,
    expired_mid_attempt,
    expired_between_attempts,
    waited_in_vain,
]
Way = Callable[[VirtualStore], tuple[Command, Outcome]]


@pytest.mark.parametrize("way", WAYS)
def test_a_command_whose_hook_failed_is_claimed_again_for_its_ending_and_ends_as_it_would_have(
    store: VirtualStore, way: Way
):
    command, outcome = way(store)
    due_end = conclusion(command, outcome)

    for _ in range(3):
        fail_hook(store, command, outcome)
        put_back = store.get(command.id)
        assert (put_back.state, put_back.attempt) == (State.SCHEDULED, command.attempt)
        assert put_back.ending is (Ending.EXPIRED if due_end.state is State.EXPIRED else Ending.FAILED)
        again = claim_when_due(store)
        assert (again.id, again.attempt) == (command.id, command.attempt)
        assert again.lease_number == command.lease_number + 1
        assert ending_of(again) is not None
        command = again
    succeed(store, command, Returned("whatever it says"))

    ended = store.get(command.id)
    assert (ended.state, ended.attempt, ended.recovery) == (due_end.state, command.attempt, Recovery(0))
    assert ended.error == due_end.error
    assert ended.result is None


@pytest.mark.parametrize("way", WAYS)
def test_a_hook_that_always_fails_is_given_up_and_the_command_ends_without_it(store: VirtualStore, way: Way):
    command, outcome = way(store)
    due_end = conclusion(command, outcome)
    tries = 1
    delays = []

    while not fail_hook(store, command, outcome).state.is_terminal:
        delays.append(store.next_due())
        command = claim_when_due(store)
        tries += 1

    ended = store.get(command.id)
    assert (ended.state, ended.error) == (due_end.state, due_end.error)
    assert ended.recovery == Recovery(0, BROKEN)
    # A crash may have come in the hook: it counts as a try, since nobody can tell.
    assert tries == MAX_HOOK_TRIES - (way is crashed_at_last)
    assert [delay.total_seconds() for delay in delays if delay][-6:] == [8, 16, 32, 60, 60, 60]
    assert store.claim() == []


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_vanishes_during_the_hook_has_used_up_a_try(store: VirtualStore, way: Way):
    command, outcome = way(store)
    fail_hook(store, command, outcome)
    command = claim_when_due(store)
    tries = 1
    while tries < 5:
        store.advance(LEASE)
        again = store.claim_one()
        assert (again.attempt, again.ending is not None) == (command.attempt, True)
        assert again.history[-1].outcome == CRASHED
        tries += 1

    while not fail_hook(store, store.get(command.id), outcome).state.is_terminal:
        claim_when_due(store)
        tries += 1

    assert tries + 1 == MAX_HOOK_TRIES - (way is crashed_at_last)


def test_a_failure_for_good_with_a_failing_hook_never_leads_to_another_attempt(store: VirtualStore):
    command = store.start(retries=9, backoff={"kind": "constant", "delay": 1})
    fail_hook(store, command)

    while store.next_due() is not None:
        again = claim_when_due(store)
        assert (again.attempt, again.ending) == (1, Ending.FAILED)
        fail_hook(store, again, Returned("whatever it says"))

    assert store.get(command.id).state is State.DEAD_LETTER


@pytest.mark.parametrize("by", ["claim", "rescue"])
def test_a_crash_during_the_hook_never_leads_to_another_attempt_either(store: VirtualStore, by: str):
    command = store.start(retries=9)
    fail_hook(store, command)
    claim_when_due(store)
    store.advance(LEASE)
    if by == "rescue":
        assert store.rescue() == [command.queue]
        assert store.get(command.id).ending is Ending.FAILED

    again = store.claim_one()

    assert (again.attempt, again.ending, again.lease_number) == (1, Ending.FAILED, 3)


def test_a_command_left_to_its_hook_does_not_expire(store: VirtualStore):
    command = store.start(retries=3, deadline_at=START + SECOND / 2)
    fail_hook(store, command)
    assert store.get(command.id).expires_at is None

    store.advance(HOUR)

    again = store.claim_one()
    assert (again.is_overdue, again.ending) == (False, Ending.FAILED)
    succeed(store, again)
    assert store.get(command.id).state is State.DEAD_LETTER


def test_the_history_tells_of_each_try_and_keeps_the_error_of_the_attempt(store: VirtualStore):
    command = store.start(retries=3)
    store.advance(SECOND)
    fail_hook(store, command)
    store.advance(SECOND)
    fail_hook(store, store.claim_one())

    first, second = store.get(command.id).history

    assert first == PastAttempt(
        attempt=1,
        lease_number=1,
        outcome="failed",
        started_at=START,
        ended_at=START + SECOND,
        worker="worker",
        error=error_info(),
        hook_error=BROKEN,
    )
    assert second == PastAttempt(
        attempt=1,
        lease_number=2,
        outcome=HOOK_FAILED,
        started_at=START + 2 * SECOND,
        ended_at=START + 2 * SECOND,
        worker="worker",
        error=error_info(),
        hook_error=BROKEN,
    )


def test_what_the_hook_asked_for_is_enqueued_with_the_ending_and_only_then(store: VirtualStore):
    command = store.start()
    follow_up = new_command(queue="follow-ups")
    fail_hook(store, command)
    assert store.claim("follow-ups") == []

    ending = claim_when_due(store)
    assert store.write(recovered(conclusion(ending), (follow_up,)))

    assert store.claim_one("follow-ups").id == follow_up.id
    assert store.get(command.id).recovery == Recovery(1)


def test_steps_are_undone_with_the_ending_and_only_then(store: VirtualStore):
    command = store.start()
    assert store.note(command, None, compensation())
    fail_hook(store, store.get(command.id))
    assert store.claim("undo") == []

    succeed(store, claim_when_due(store))

    assert store.claim_one("undo").parent_id == command.id


def test_a_hook_that_is_not_to_be_tried_again_is_given_up_at_once(store: VirtualStore):
    command = store.start()

    assert store.write(hook_failed(conclusion(command), BROKEN, retryable=False))

    ended = store.get(command.id)
    assert (ended.state, ended.error, ended.recovery) == (State.DEAD_LETTER, error_info(), Recovery(0, BROKEN))


def test_a_command_that_waits_for_one_left_to_its_hook_goes_on_waiting(store: VirtualStore):
    waiting, child = new_join(1)
    store.enqueue(waiting, child)
    attempt = claim(store, child)

    assert store.end(hook_failed(conclusion(attempt), BROKEN, retryable=True)).woken == []
    assert store.get(waiting.id).awaits == 1

    store.advance(SECOND)
    assert store.end(conclusion(claim(store, child))).woken == [waiting.queue]


def test_a_recovery_comes_back_as_it_went_in(store: VirtualStore):
    for recovery in (None, Recovery(3), Recovery(0, BROKEN), Recovery(0, ErrorInfo("größer", "\n\\"))):
        attempt = store.start()
        assert store.write(Settlement(attempt, State.DEAD_LETTER, "failed", recovery=recovery))
        assert store.get(attempt.id).recovery == recovery
