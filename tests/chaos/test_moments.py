"""A process is killed at the worst moment, staged with locks."""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import chaos_app
import pytest
from fleet import kill
from staging import wait_until

from durex_core.model import State

pytestmark = pytest.mark.slow

ENQUEUE_AND_DIE = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import chaos_app

app = chaos_app.make_app(sys.argv[1])
for _ in range(20):
    print(app.enqueue("plain").id, flush=True)
print(app.enqueue("chain").id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_process_enqueued_is_there_though_it_was_killed_the_moment_after(app, database_url):
    arguments = [sys.executable, "-c", ENQUEUE_AND_DIE, database_url, str(Path(chaos_app.__file__).parent)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False)

    assert done.returncode == -signal.SIGKILL
    ids = [UUID(line) for line in done.stdout.split()]
    assert len(ids) == 21
    assert {app.get(command_id).state for command_id in ids} == {State.PENDING}


def test_a_worker_killed_between_its_handler_and_the_settlement_has_its_command_run_again(
    app, stage, fleet, settle_accounts
):
    worker = fleet.start(lease_seconds=20)
    command_id = app.enqueue("gated_chain").id
    fleet.wait_for("begin", command_id)
    with stage.holding_writes():
        fleet.open_gate(1)
        fleet.wait_for("end", command_id)
        if stage.is_postgres:
            wait_until(lambda: stage.has_waiters("finished_commands"))
            # The server would carry out what it was sent; here the network, or the server, went with the worker.
            kill(worker)
            assert stage.end_sessions() >= 1
        else:
            kill(worker)

    assert stage.run("SELECT state, lease_number FROM commands") == [("started", 1)]
    stage.expire_lease(command_id)
    fleet.open_gate(2)
    fleet.start(lease_seconds=20)
    account = settle_accounts()
    account.check({command_id: "gated_chain"})
    (command,) = account.of("gated_chain")
    assert [(past.outcome, past.attempt) for past in command.history] == [("crashed", 1)]
    assert [line.attempt for line in account.lines if (line.what, line.id) == ("end", command_id)] == [1, 2]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_settlement_that_the_server_finishes_after_its_worker_was_killed_counts(app, stage, fleet, settle_accounts):
    worker = fleet.start(lease_seconds=20)
    command_id = app.enqueue("gated").id
    fleet.wait_for("begin", command_id)
    with stage.holding_writes():
        fleet.open_gate(1)
        wait_until(lambda: stage.has_waiters("finished_commands"))
        kill(worker)

    wait_until(lambda: app.get(command_id).state.is_terminal)
    fleet.start(lease_seconds=20)
    account = settle_accounts()
    account.check({command_id: "gated"})
    assert account.of("gated")[0].attempt == 1


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_worker_killed_between_its_claim_and_the_start_has_its_command_run_by_another(
    app, stage, fleet, settle_accounts
):
    worker = fleet.start(lease_seconds=20)
    first = app.enqueue("plain").id
    wait_until(lambda: app.get(first).state.is_terminal)
    command_id = app.enqueue("chain", delay=timedelta(seconds=1)).id
    with stage.holding_writes():
        wait_until(lambda: stage.has_waiters("due AS MATERIALIZED"))
        kill(worker)
    # The server carries out what it was sent, and has nobody to answer to.
    wait_until(lambda: app.get(command_id).state is State.STARTED)
    assert not [line for line in fleet.lines() if line.id == command_id]

    stage.expire_lease(command_id)
    fleet.start(lease_seconds=20)
    account = settle_accounts()
    account.check({first: "plain", command_id: "chain"})
    (command,) = account.of("chain")
    assert [(past.outcome, past.attempt) for past in command.history] == [("crashed", 1)]
    assert [line.attempt for line in account.lines if (line.what, line.id) == ("begin", command_id)] == [2]


def test_a_worker_that_wakes_after_its_lease_while_another_runs_its_command_changes_nothing(
    app, stage, fleet, settle_accounts
):
    zombie = fleet.start(lease_seconds=20)
    command_id = app.enqueue("gated_chain").id
    fleet.wait_for("begin", command_id)
    zombie.send_signal(signal.SIGSTOP)
    stage.expire_lease(command_id)
    fleet.start(lease_seconds=20)
    fleet.wait_for("begin", command_id, attempt=2)

    fleet.open_gate(1)
    zombie.send_signal(signal.SIGCONT)
    fleet.wait_for("end", command_id, attempt=1)
    fleet.stop(zombie)
    assert stage.run("SELECT state, lease_number FROM commands") == [("started", 2)]

    fleet.open_gate(2)
    account = settle_accounts()
    account.check({command_id: "gated_chain"})
    assert account.of("gated_chain")[0].attempt == 2


def test_a_worker_killed_with_the_last_part_of_a_join_in_its_hands_leaves_the_join_to_be_counted_once(
    app, stage, fleet, settle_accounts
):
    worker = fleet.start(lease_seconds=20)
    parent = app.enqueue("gated_join").id
    ((part,),) = wait_until(lambda: stage.run("SELECT id FROM commands WHERE name = 'gated'"), 60)
    part = UUID(str(part))
    fleet.wait_for("begin", part)
    wait_until(lambda: len(stage.finished("plain")) == 1)
    with stage.holding_writes():
        fleet.open_gate(1)
        fleet.wait_for("end", part)
        kill(worker)
        if stage.is_postgres:
            stage.end_sessions()

    assert stage.run("SELECT state, awaits FROM commands WHERE name = 'joined'") == [("waiting", 1)]
    stage.expire_lease(part)
    fleet.open_gate(2)
    fleet.start(lease_seconds=20)
    account = settle_accounts()
    account.check({parent: "gated_join"})
    (then,) = account.of("joined")
    assert (then.attempt, [child.name for child in then.children]) == (1, ["plain", "gated"])


def test_a_worker_killed_in_the_hook_of_a_failure_has_stored_neither_the_failure_nor_what_undoes_it(
    app, stage, fleet, settle_accounts
):
    worker = fleet.start(lease_seconds=20)
    saga = app.enqueue("gated_saga").id
    fleet.wait_for("hook", saga)
    kill(worker)

    assert stage.run("SELECT name, state FROM all_commands") == [("gated_saga", "started")]
    stage.expire_lease(saga)
    fleet.open_gate(2)
    fleet.start(lease_seconds=20)
    account = settle_accounts()
    account.check({saga: "gated_saga"})
    assert [past.outcome for past in app.get(saga).history] == ["crashed"]
