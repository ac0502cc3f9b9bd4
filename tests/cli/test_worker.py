import json
import signal

import pytest

from durex_core.model import State


def test_commands_are_run_until_sigterm_which_ends_it_with_0(durex_on_each):
    with durex_on_each.running("worker") as worker:
        worker.wait_for("serves process_order, fail, slow; 10 attempts side by side")
        command_id = durex_on_each.enqueue("process_order", {"id": "42", "amount": 1})
        command = durex_on_each.finished(command_id)
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    assert (command.state, command.result) == (State.COMPLETED, "processed 42")
    assert "SIGTERM: stopping" in worker.err
    assert worker.out.endswith("stopped\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_command_may_finish_after_a_signal(durex_on_each, tmp_path, number):
    command_id = durex_on_each.enqueue("hold", str(tmp_path / "go"))
    with durex_on_each.running("worker") as worker:
        worker.wait_for("holding")
        worker.send(number)
        worker.wait_for("stopping", "err")
        (tmp_path / "go").touch()
        assert worker.end() == 0
    command = durex_on_each.stored(command_id)
    assert (command.state, command.result, command.attempt) == (State.COMPLETED, "let go", 1)


def test_a_command_that_outlasts_the_grace_is_given_back_and_its_attempt_does_not_count(durex_on_each):
    command_id = durex_on_each.enqueue("hold", "/never")
    with durex_on_each.running("worker", "--grace", "0.2") as worker:
        worker.wait_for("holding")
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    command = durex_on_each.stored(command_id)
    assert (command.state, command.attempt) == (State.PENDING, 0)
    assert [past.outcome for past in command.history] == ["released"]


def test_a_second_signal_leaves_at_once_with_1(durex):
    command_id = durex.enqueue("hold", "/never")
    with durex.running("worker", "--lease", "60") as worker:
        worker.wait_for("holding")
        worker.send(signal.SIGTERM)
        worker.wait_for("stopping", "err")
        while worker.process.poll() is None:  # one that comes with the first is its echo and does not count
            worker.send(signal.SIGTERM)
            worker.pause()
        assert worker.end() == 1
    assert durex.stored(command_id).state is State.STARTED


def test_two_signals_at_the_same_moment_are_one(durex, tmp_path):
    durex.enqueue("hold", str(tmp_path / "go"))
    with durex.running("worker") as worker:
        worker.wait_for("holding")
        worker.send(signal.SIGINT)
        worker.send(signal.SIGTERM)
        worker.wait_for("stopping", "err")
        (tmp_path / "go").touch()
        assert worker.end() == 0


def test_only_the_named_queues_are_served(durex):
    other = durex.enqueue("fail")
    with durex.running("worker", "--queue", "slow", "--queue", "process_order") as worker:
        worker.wait_for("serves slow, process_order;")
        durex.finished(durex.enqueue("process_order", {"id": "42", "amount": 1}))
        worker.send(signal.SIGTERM)
        worker.end()
    assert durex.stored(other).state is State.PENDING


def test_with_json_every_line_on_stdout_is_a_document(durex):
    with durex.running("worker", "--json", "--concurrency", "3") as worker:
        durex.finished(durex.enqueue("process_order", {"id": "42", "amount": 1}))
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    started, stopped = [json.loads(line) for line in worker.out.splitlines()]
    assert started["queues"] == ["process_order", "fail", "slow"]
    assert (started["event"], started["concurrency"], stopped) == ("started", 3, {"event": "stopped"})
    assert "processing 42" in worker.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ["--queue", "typo"],
            "no command of the application uses the queue 'typo' (it has: process_order, fail, slow)",
        ),
        (["--concurrency", "0"], "0 is not in the range"),
        (["--lease", "0"], "0 is too short"),
        (["--grace", "-1"], "-1 is too short"),
    ],
)
def test_wrong_options_are_wrong_use(durex_here, options, reason):
    done = durex_here.run("worker", *options)
    assert (done.returncode, reason in done.stderr) == (2, True)
