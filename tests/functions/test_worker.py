"""The worker function: commands run on a wake, and no wake is deleted that somebody still needs."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import errands
import pytest
from invocations import Invocation, Recorder, failed, sqs_event, wake
from staging import wait_until

from durex_core.model import State
from durex_core.rules.wakes import Due
from durex_core.serverless.worker import MAX_DEPTH, longest_timeout
from functions.commands import app as shop

WAKE = wake(errands.QUEUE)
SECOND = timedelta(seconds=1)


def test_a_wake_runs_what_is_ready(worker, app):
    ids = [errands.greet.enqueue(name).id for name in ("ada", "grace")]

    answer = worker.invoke()

    assert answer == {"batchItemFailures": []}
    assert [app.get(id_).result for id_ in ids] == ["hello ada", "hello grace"]


def test_a_doubled_wake_changes_nothing(worker, app):
    id_ = errands.greet.enqueue("ada").id
    worker.invoke(WAKE, WAKE)
    first = app.get(id_)

    assert failed(worker.invoke(WAKE)) == []
    assert app.get(id_) == first
    assert first.attempt == 1
    assert worker.own.bodies() == []


def test_one_wake_works_off_more_than_one_batch(worker, app):
    ids = [errands.greet.enqueue(str(number)).id for number in range(25)]

    assert failed(worker.invoke(concurrency=10, need=timedelta(seconds=5))) == []

    assert worker.own.bodies() == []
    assert {app.get(id_).state for id_ in ids} == {State.COMPLETED}


def test_what_is_no_wake_goes_to_the_dead_letter_queue_and_does_not_come_again(worker, app):
    id_ = errands.greet.enqueue("ada").id
    deep = "[" * 200_000

    answer = worker.invoke("hello", WAKE, '{"v": 2, "queue": "errands"}', deep)

    assert failed(answer) == []
    assert sorted(worker.dead.bodies()) == sorted(["hello", '{"v": 2, "queue": "errands"}', deep])
    assert app.get(id_).state is State.COMPLETED


def test_what_is_no_wake_comes_again_if_nobody_took_it(worker):
    worker.lose_dead_letters()

    assert failed(worker.invoke("hello", WAKE)) == ["m0"]


def test_an_event_without_wakes_does_not_touch_the_database(worker, app, caplog):
    app.use_database("postgresql://nobody@127.0.0.1:1/nothing")

    assert failed(worker.invoke("hello")) == []

    assert "database" not in caplog.text


def test_without_a_database_every_wake_comes_again(worker, app):
    app.use_database("postgresql://nobody@127.0.0.1:1/nothing")

    answer = worker.invoke(WAKE, "hello", WAKE, seconds=5)

    assert failed(answer) == ["m0", "m2"]
    assert worker.dead.bodies() == ["hello"]


def test_a_database_without_tables_leaves_the_wakes(worker, stage):
    stage.run("DROP TABLE commands CASCADE")

    assert failed(worker.invoke(WAKE)) == ["m0"]


def test_a_failing_handler_is_no_failed_message(worker, app):
    id_ = errands.stumble.enqueue().id

    assert failed(worker.invoke()) == []

    command = app.get(id_)
    assert (command.state, command.attempt) == (State.SCHEDULED, 1)
    # The wake for its moment, and the echo.
    assert (worker.own.count(), worker.own.count(delayed=True)) == (0, 2)


def test_a_retry_has_a_wake_of_its_own_time(worker):
    errands.stumble.enqueue()
    recorder = Recorder()

    assert failed(worker.invoke(wakes=recorder)) == []

    assert (recorder.promised, recorder.rung) == ([(errands.QUEUE, Due(20 * SECOND))], [])


def test_a_later_retry_is_seen_to_by_the_wake_of_the_sooner_one(worker, stage):
    errands.stumble.enqueue()
    errands.trip.enqueue()
    recorder = Recorder()
    worker.invoke(wakes=recorder)
    assert min(due.delay for _, due in recorder.promised) == 20 * SECOND
    stage.run("UPDATE commands SET ready_at = now() WHERE name = 'stumble'")
    recorder.forget()

    assert failed(worker.invoke(wakes=recorder)) == []

    ((queue, due),) = recorder.promised
    assert (queue, 30 * SECOND < due.delay <= 40 * SECOND) == (errands.QUEUE, True)


def test_children_are_woken_before_the_invocation_ends(worker):
    for number in range(3):
        errands.post.enqueue(str(number))

    worker.invoke()

    wakes = worker.children.wakes()
    assert {wake.depth for wake in wakes} == {1}
    assert sum(wake.count for wake in wakes) == 3
    assert worker.children.count(delayed=True) == 1


def test_children_have_their_echo_even_if_their_bell_does_not_ring(worker):
    errands.post.enqueue("parcel")
    recorder = Recorder(rings=False)

    assert failed(worker.invoke(wakes=recorder)) == []

    assert recorder.promised == recorder.rung == [(errands.PARCELS, Due(depth=1))]


def test_the_wake_of_a_child_is_one_deeper(worker):
    errands.post.enqueue("parcel")

    worker.invoke(wake(errands.QUEUE, depth=6), wake(errands.QUEUE, depth=4))

    assert worker.children.depths() == [5]


def test_a_chain_that_is_too_deep_is_slowed_down_and_not_cut(worker, caplog):
    errands.post.enqueue("parcel")
    recorder = Recorder()

    worker.invoke(wake(errands.QUEUE, depth=MAX_DEPTH), wakes=recorder)

    assert (recorder.promised, recorder.rung) == ([(errands.PARCELS, Due(depth=MAX_DEPTH))], [])
    assert "slowing them down" in caplog.text


def test_a_child_that_waits_begins_a_new_chain(worker):
    errands.post_later.enqueue("parcel")
    recorder = Recorder()

    worker.invoke(wake(errands.QUEUE, depth=7), wakes=recorder)

    assert (recorder.promised, recorder.rung) == ([(errands.PARCELS, Due(30 * SECOND))], [])


@pytest.mark.parametrize("name", ["dawdle", "wait_for_file"])
def test_an_attempt_that_outlasts_its_invocation_is_timed_out_in_time(worker, app, name, tmp_path):
    id_ = app.enqueue(name, str(tmp_path / "never") if name == "wait_for_file" else None).id
    invocation = Invocation(4)

    assert failed(worker.make().invoke(sqs_event(WAKE), invocation)) == []

    command = app.get(id_)
    assert (command.state, command.error.type) == (State.DEAD_LETTER, "TimedOut")
    assert "the time that its invocation had left" in command.error.message
    assert invocation.get_remaining_time_in_millis() > 1000


def test_an_attempt_that_lost_its_lease_leaves_its_wake(worker, app, stage, tmp_path):
    gate = tmp_path / "gate"
    id_ = errands.wait_for_file.enqueue(str(gate)).id
    made = worker.make()

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(made.invoke, sqs_event(WAKE), Invocation(20))
        wait_until(Path(f"{gate}.waiting").exists)
        stage.expire_lease(id_)
        gate.touch()

    assert failed(answer.result()) == ["m0"]
    assert app.get(id_).state is State.STARTED


def test_a_killed_worker_is_recovered_by_the_redelivery(worker, app, stage):
    id_ = errands.greet.enqueue("ada").id
    stage.start_elsewhere(id_, lease_seconds=30)
    assert failed(worker.invoke()) == []  # another wake, before the lease is over
    stage.expire_lease(id_)
    stage.run("UPDATE commands SET retries = 1, started_at = now(), worker = 'gone'")

    assert failed(worker.invoke()) == []

    command = app.get(id_)
    assert (command.state, command.attempt, command.lease_number) == (State.COMPLETED, 2, 2)
    assert [past.outcome for past in command.history] == ["crashed"]


def test_the_lease_outlasts_the_invocation_by_the_margin(worker, stage, tmp_path):
    gate = tmp_path / "gate"
    errands.wait_for_file.enqueue(str(gate))
    made = worker.make()

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(made.invoke, sqs_event(WAKE), Invocation(20))
        wait_until(Path(f"{gate}.waiting").exists)
        ((left,),) = stage.run("SELECT extract(epoch FROM lease_expires_at - started_at)::float FROM commands")
        gate.touch()

    assert answer.result() == {"batchItemFailures": []}
    assert 24 < left <= 25


def test_handlers_share_the_one_connection(worker, app, stage, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    app.close()
    ids = [errands.ask.enqueue().id for _ in range(10)]
    most = 0
    is_over = threading.Event()

    def count() -> None:
        nonlocal most
        while not is_over.is_set():
            ((open_now,),) = stage.run(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'durex'"
            )
            most = max(most, open_now)

    with ThreadPoolExecutor() as pool:
        pool.submit(count)
        worker.invoke()
        is_over.set()

    assert {app.get(id_).result for id_ in ids} == {"started"}
    assert most == 1


def test_a_batch_needs_the_longest_time_that_one_of_its_commands_may_take(app):
    assert longest_timeout(app.registry, errands.QUEUE) == timedelta(minutes=1)  # most declare none
    assert longest_timeout(app.registry, "unknown") == timedelta(minutes=1)
    assert longest_timeout(shop.registry, "charge") == timedelta(seconds=30)


def test_free_slots_are_filled_while_a_slow_handler_still_runs(worker, app, tmp_path):
    gate = tmp_path / "gate"
    errands.wait_for_file.enqueue(str(gate), priority=1)
    ids = [errands.greet.enqueue(str(number)).id for number in range(20)]
    recorder = Recorder()
    made = worker.make(wakes=recorder, concurrency=4)

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(made.invoke, sqs_event(WAKE), Invocation(120))
        wait_until(lambda: all(app.get(id_).state is State.COMPLETED for id_ in ids))
        assert Path(f"{gate}.waiting").exists()
        assert not answer.done()
        gate.touch()

    assert failed(answer.result()) == []
    # Nothing was left for others, so that none was called.
    assert (recorder.promised, recorder.rung) == ([], [])


def test_no_more_attempts_are_open_than_there_are_slots(worker, stage, tmp_path):
    gate = tmp_path / "gate"
    for _ in range(2):
        errands.wait_for_file.enqueue(str(gate), priority=1)
    for number in range(10):
        errands.greet.enqueue(str(number))
    for _ in range(5):
        errands.wait_for_file.enqueue(str(gate), priority=-1)
    made = worker.make(concurrency=4)

    with ThreadPoolExecutor() as pool:
        answer = pool.submit(made.invoke, sqs_event(WAKE), Invocation(120))
        wait_until(lambda: stage.run("SELECT count(*) FROM commands WHERE name = 'greet'") == [(0,)])
        wait_until(lambda: stage.run("SELECT count(*) FROM commands WHERE state = 'started'") == [(4,)])
        wait_until(lambda: worker.own.count() > 0)
        assert stage.run("SELECT count(*) FROM commands WHERE state = 'started'") == [(4,)]
        gate.touch()

    assert failed(answer.result()) == []
