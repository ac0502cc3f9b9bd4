"""Workers are killed and frozen in the middle of their work, and nothing is lost or done twice."""

import signal
import threading
from random import Random

import pytest
from chaos_app import MIXED, enqueue
from fleet import kill
from staging import wait_until

from durex_core.model import CRASHED, VANISHED, State

pytestmark = pytest.mark.slow

LEASE_SECONDS = 1.5
CRASHES = {CRASHED, VANISHED}


def milestones(enqueued, count):
    """Return numbers of finished commands, evenly spread, at which to strike."""
    return [len(enqueued) * (number + 1) // (count + 1) for number in range(count)]


def test_workers_killed_at_random_lose_nothing_and_repeat_nothing(app, stage, fleet, settle_accounts):
    random = Random(1)
    enqueued = enqueue(app, MIXED)
    for _ in range(3):
        fleet.start(lease_seconds=LEASE_SECONDS)
    for milestone in milestones(enqueued, 6):
        wait_until(lambda least=milestone: stage.count("finished_commands") >= least, 60)
        for victim in random.sample(fleet.alive, random.randint(1, 2)):
            kill(victim)
            fleet.start(lease_seconds=LEASE_SECONDS)

    account = settle_accounts()
    account.check(enqueued)
    assert sum(past.outcome in CRASHES for command in account.finished for past in command.history) > 0


def test_workers_frozen_for_longer_than_their_lease_change_nothing_when_they_wake(app, stage, fleet, settle_accounts):
    enqueued = enqueue(app, MIXED)
    for _ in range(3):
        fleet.start(lease_seconds=LEASE_SECONDS)
    for milestone, victim in zip(milestones(enqueued, 3), fleet.alive, strict=True):
        wait_until(lambda least=milestone: stage.count("finished_commands") >= least, 60)
        victim.send_signal(signal.SIGSTOP)
        threading.Event().wait(1.5 * LEASE_SECONDS)
        victim.send_signal(signal.SIGCONT)

    account = settle_accounts()
    account.check(enqueued)
    assert len(fleet.alive) == 3
    over = {
        (command.id, past.lease_number)
        for command in account.finished
        for past in command.history
        if past.outcome in CRASHES
    }
    assert over & {(line.id, line.lease_number) for line in account.lines if line.what == "end"}, "no zombie woke"


def test_a_command_that_kills_its_worker_ends_in_the_dead_letter_queue(app, fleet, settle_accounts):
    poison = app.enqueue("poison")
    enqueued = enqueue(app, {"plain": 40, "chain": 10}) | {poison.id: "poison"}
    fleet.keep_alive(2, lease_seconds=1, until=lambda: app.get(poison.id).state.is_terminal)

    account = settle_accounts()
    (dead,) = account.of("poison")
    assert (dead.state, dead.attempt, dead.error.type) == (State.DEAD_LETTER, 3, "Crashed")
    assert "during attempt 3 (crashes in all: 3)" in dead.error.message
    crashes = [past.attempt for past in dead.history if past.outcome == CRASHED]
    vanished = [past.attempt for past in dead.history if past.outcome == VANISHED]
    assert crashes == [1, 2, 3]
    # Once it may have been claimed ahead; it begins no more often than that.
    assert len(vanished) <= 1
    began = [line.attempt for line in account.lines if line.id == poison.id]
    assert set(began) == {1, 2, 3}
    assert len(began) <= len(crashes) + len(vanished)
    account.without(poison.id).check({one: name for one, name in enqueued.items() if one != poison.id})
