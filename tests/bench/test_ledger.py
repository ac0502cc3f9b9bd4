import pytest
from bench.catalogue import DUREX
from bench.ledger import Ledger
from bench.runs import Wrong, check_runs


@pytest.fixture
def processes(tmp_path):
    first = Ledger.create(tmp_path / "ledger", commands=3, processes=2)
    return first, Ledger(tmp_path / "ledger", commands=3, processes=2, place=1)


def test_processes_count_together(processes):
    first, second = processes

    first.run(0)
    second.run(0)
    second.run(2)
    second.fail(1)

    assert first.runs() == [2, 0, 1]
    assert first.failures() == [0, 1, 0]
    assert first.done == 3


def test_once_each_is_right(processes):
    first, second = processes
    for number in range(3):
        (second if number else first).run(number)

    check_runs(DUREX, first, failing=0)


def test_a_lost_command_is_found(processes):
    first, _ = processes
    first.run(0)

    with pytest.raises(Wrong, match="2 commands lost and 0 doubled of 3"):
        check_runs(DUREX, first, failing=0)


def test_a_command_that_ran_in_both_processes_is_found(processes):
    first, second = processes
    for number in range(3):
        first.run(number)
    second.run(1)

    with pytest.raises(Wrong, match="0 commands lost and 1 doubled of 3"):
        check_runs(DUREX, first, failing=0)


def test_a_failure_that_was_not_to_be_is_found(processes):
    first, _ = processes
    for number in range(3):
        first.run(number)
    first.fail(1)

    with pytest.raises(Wrong, match="1 attempts failed instead of 2"):
        check_runs(DUREX, first, failing=2)


def test_latency_is_the_time_from_call_to_handler(processes):
    first, second = processes

    first.call(1)
    second.hear(1)
    second.wait_for(1)

    (latency,) = first.latencies
    assert 0 < latency < 60
