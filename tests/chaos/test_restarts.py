"""Workers and sessions are restarted under load; nothing is lost, and nothing is counted that was not an attempt."""

import pytest
from chaos_app import MIXED, enqueue
from staging import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("grace_seconds", [0.03, 5], ids=["with releases", "with grace"])
def test_a_rolling_restart_loses_nothing_and_counts_no_attempt(app, stage, fleet, settle_accounts, grace_seconds):
    enqueued = enqueue(app, {"once": 200})
    for _ in range(3):
        fleet.start(lease_seconds=30, grace_seconds=grace_seconds)
    for number, old in enumerate(fleet.alive):
        wait_until(lambda least=40 * (number + 1): stage.count("finished_commands") >= least, 60)
        fleet.start(lease_seconds=30, grace_seconds=grace_seconds)
        fleet.stop(old)

    account = settle_accounts()
    account.check(enqueued)
    assert {command.attempt for command in account.finished} == {1}
    outcomes = {past.outcome for command in account.finished for past in command.history}
    assert outcomes == ({"released"} if grace_seconds < 1 else set())


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_sessions_that_the_server_ends_again_and_again_lose_nothing(app, stage, fleet, settle_accounts):
    enqueued = enqueue(app, MIXED)
    for _ in range(3):
        fleet.start(lease_seconds=3)
    for number in range(12):
        wait_until(lambda least=20 * (number + 1): stage.count("finished_commands") >= least, 60)
        assert stage.end_sessions() > 0

    settle_accounts().check(enqueued)
    assert len(fleet.alive) == 3
