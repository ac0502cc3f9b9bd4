"""Conservation: no invocation ends its wakes before everything that they stood for has another one coming."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import errands
import pytest
from invocations import Invocation, Recorder, failed, sqs_event, wake
from staging import wait_until

from durex_core.aws.wake import WakeMessage
from durex_core.errors import DatabaseUnavailable
from durex_core.model import State
from durex_core.rules.wakes import Due

WAKE = wake(errands.QUEUE)
SECOND = timedelta(seconds=1)


def test_more_work_than_fits_is_sent_on_while_the_first_still_runs(worker, stage, tmp_path):
    gate = tmp_path / "gate"
    for _ in range(3):
        errands.wait_for_file.enqueue(str(gate))
    made = worker.make(concurrency=2)

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(made.invoke, sqs_event(wake(errands.QUEUE, count=14, depth=3)), Invocation(120))
        wait_until(lambda: worker.own.count() == 2)
        assert stage.run("SELECT count(*) FROM commands WHERE state = 'started'") == [(2,)]
        gate.touch()

    assert failed(answer.result()) == []
    assert worker.own.wakes() == [WakeMessage(errands.QUEUE, count=6, depth=3)] * 2
    assert worker.own.count(delayed=True) == 1


def test_what_is_left_when_the_time_is_up_is_sent_on(worker, stage):
    for _ in range(4):
        errands.greet.enqueue("ada")

    assert failed(worker.invoke(concurrency=2, need=timedelta(seconds=30))) == []

    assert (worker.own.count(), worker.own.count(delayed=True)) == (1, 1)
    assert stage.run("SELECT count(*) FROM commands") == [(2,)]


def test_what_is_sent_on_carries_how_much_is_expected_still_and_its_depth(worker):
    for _ in range(4):
        errands.greet.enqueue("ada")
    recorder, message = Recorder(), wake(errands.QUEUE, count=7, depth=3)

    assert failed(worker.invoke(message, wakes=recorder, concurrency=2, need=timedelta(seconds=30))) == []

    assert recorder.promised == recorder.rung == [(errands.QUEUE, Due(count=5, depth=3))]


def test_who_takes_all_that_is_ready_sends_nothing_on(worker):
    for _ in range(2):
        errands.greet.enqueue("ada")
    recorder = Recorder()

    assert failed(worker.invoke(wakes=recorder, concurrency=2, need=timedelta(seconds=30))) == []

    assert (recorder.promised, recorder.rung) == ([], [])


@pytest.mark.parametrize(("promises", "rings"), [(False, False), (True, False), (False, True)])
def test_a_wake_that_cannot_be_sent_on_is_left_for_its_redelivery_and_one_way_is_enough(worker, promises, rings):
    for _ in range(3):
        errands.greet.enqueue("ada")
    recorder = Recorder(promises=promises, rings=rings)

    answer = worker.invoke(wakes=recorder, concurrency=2, need=timedelta(seconds=30))

    assert failed(answer) == ([] if promises or rings else ["m0"])


def test_what_is_due_later_is_seen_to_before_the_wake_is_used_up(worker):
    errands.greet.enqueue("ada", delay=timedelta(hours=1))
    errands.greet.enqueue("grace", delay=timedelta(hours=2))
    errands.greet.enqueue("joan")
    recorder = Recorder()

    assert failed(worker.invoke(wakes=recorder)) == []

    ((queue, due),) = recorder.promised
    assert (queue, timedelta(minutes=59) < due.delay <= timedelta(hours=1)) == (errands.QUEUE, True)
    assert recorder.rung == []


def test_a_wake_that_was_the_last_to_know_of_what_is_due_later_comes_again(worker, app):
    errands.greet.enqueue("ada", delay=timedelta(hours=1))
    id_ = errands.greet.enqueue("grace").id

    assert failed(worker.invoke(WAKE, WAKE, "hello", wakes=Recorder(promises=False))) == ["m0", "m1"]

    assert app.get(id_).state is State.COMPLETED
    assert worker.dead.bodies() == ["hello"]


def test_attempts_end_as_they_would_while_the_book_of_alarms_is_away(worker, app, tmp_path):
    gate = tmp_path / "gate"
    id_ = errands.wait_for_file.enqueue(str(gate)).id
    errands.greet.enqueue("ada", delay=timedelta(hours=1))
    asked = threading.Event()

    class Away(Recorder):
        def ahead(self, due):
            asked.set()
            raise DatabaseUnavailable(f"no alarm for {due}")

    made = worker.make(wakes=Away())
    made._recycle_if_stuck = lambda: None

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(made.invoke, sqs_event(WAKE), Invocation(20))
        assert asked.wait(10)
        with pytest.raises(TimeoutError):
            answer.result(0.3)
        gate.touch()

        assert failed(answer.result()) == ["m0"]
        assert app.get(id_).state is State.COMPLETED


def test_what_could_not_be_promised_before_a_commit_is_promised_before_the_end(worker, app):
    id_ = errands.stumble.enqueue().id
    recorder = Recorder(refusals=1)

    assert failed(worker.invoke(wakes=recorder)) == []

    assert recorder.promised == [(errands.QUEUE, Due(20 * SECOND))] * 2
    assert app.get(id_).state is State.SCHEDULED


def test_what_could_not_be_promised_at_all_is_owed_by_the_environment_and_its_wakes_come_again(worker, app):
    id_ = errands.post.enqueue("parcel").id
    recorder = Recorder(promises=False)
    made = worker.make(wakes=recorder)

    assert failed(made.invoke(sqs_event(WAKE, WAKE), Invocation(20))) == ["m0", "m1"]
    assert app.get(id_).state is State.COMPLETED
    recorder.promises = True
    recorder.forget()

    assert failed(made.invoke(sqs_event(WAKE), Invocation(20))) == []
    assert recorder.promised == [(errands.PARCELS, Due(depth=1))]
    recorder.forget()

    assert failed(made.invoke(sqs_event(WAKE), Invocation(20))) == []
    assert recorder.promised == []


def test_of_what_is_owed_to_a_queue_the_soonest_is_promised(worker):
    errands.stumble.enqueue(priority=1)
    errands.trip.enqueue()
    recorder = Recorder(refusals=3)

    worker.invoke(wakes=recorder, concurrency=1, need=timedelta(seconds=5))

    assert [queue for queue, _ in recorder.promised] == [errands.QUEUE] * 4
    assert recorder.promised[-1] == (errands.QUEUE, Due(20 * SECOND))


def test_a_permanent_command_that_ended_is_begun_anew_by_who_ended_it(worker, app):
    app.command("patrol", permanent=True, queue=errands.QUEUE)(lambda: None)
    try:
        app.enqueue("patrol", unique_key="patrol")
        recorder = Recorder()

        worker.invoke(wakes=recorder)
    finally:
        app.unregister("patrol")

    # After a rest: one that fails at once must not spin.
    assert recorder.promised == recorder.rung == [(errands.QUEUE, Due(timedelta(minutes=1)))]
    assert [command.state for command in app.find(name="patrol")] == [State.SCHEDULED, State.COMPLETED]
