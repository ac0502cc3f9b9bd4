"""Every handler under AWS's own runtime client, on the events of `events/` and a real Postgres."""

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from invocations import as_json, failed, sqs_event, wake
from staging import wait_until

from durex_core import Durex
from durex_core.store.migrate import migrations
from functions.commands import Order, process_order

pytestmark = pytest.mark.slow

EVENTS = Path(__file__).resolve().parents[2] / "events"


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def get_command(command_id: str) -> Any:
    """Return the event of a look-up."""
    found = event("get_command")
    path = f"/v1/commands/{command_id}"
    found["rawPath"] = found["requestContext"]["http"]["path"] = path
    return found


def test_an_order_goes_from_post_to_get(function, make_queue):
    wakes, dead = make_queue(), make_queue()
    urls = json.dumps({"process_order": wakes.url, "stock": make_queue().url})
    enqueue = function("enqueue", DUREX_WAKE_URLS=urls)
    api = function("api", DUREX_WAKE_URLS=urls)
    worker = function(
        "worker",
        DUREX_WAKE_URLS=urls,
        DUREX_QUEUE="process_order",
        DUREX_DEAD_LETTER_URL=dead.url,
        DUREX_CONCURRENCY="2",
    )

    created = enqueue.invoke(event("enqueue"))
    assert not created.is_error
    assert created.body["statusCode"] == 201
    command_id = as_json(created.body)["id"]
    again = enqueue.invoke(event("enqueue"))
    assert (again.body["statusCode"], as_json(again.body)["id"]) == (200, command_id)
    assert as_json(api.invoke(get_command(command_id)).body)["state"] == "pending"

    # The bell of the first; of both the one echo, which came before the commit.
    bell = {"v": 1, "queue": "process_order", "count": 1, "depth": 0}
    assert [json.loads(body) for body in wakes.bodies()] == [bell]
    assert wakes.count(delayed=True) == 1
    assert worker.invoke(event("wake")).body == {"batchItemFailures": []}

    answer = as_json(api.invoke(get_command(command_id)).body)
    assert (answer["state"], answer["result"]) == ("completed", {"order": "42", "accepted_by": "process_order"})
    assert worker.invoke(event("wake_malformed")).body == {"batchItemFailures": []}
    assert dead.bodies() == ["this is no wake"]
    assert (enqueue.starts, api.starts, worker.starts) == (1, 1, 1)


def test_the_api_tells_of_its_health_and_of_what_it_does_not_know(function):
    api = function("api")

    healthy = api.invoke(event("health"))
    unknown = api.invoke(event("get_command"))

    assert as_json(healthy.body) == {
        "status": "healthy",
        "database": "postgres",
        "schema_version": migrations("postgres")[-1].version,
    }
    assert unknown.body["statusCode"] == 404
    assert as_json(unknown.body)["type"] == "urn:durex:problem:command-not-found"


def test_the_api_lists_counts_and_changes_commands(function):
    api = function("api")

    assert as_json(api.invoke(event("find_commands")).body) == {"commands": [], "next_cursor": None}
    assert as_json(api.invoke(event("stats")).body)["finished_within_seconds"] == 3600.0
    for name in ("cancel_command", "retry_command"):
        answer = api.invoke(event(name)).body
        assert (answer["statusCode"], as_json(answer)["type"]) == (404, "urn:durex:problem:command-not-found")


def test_the_tick_wakes_the_queues_that_have_work(function, postgres_url, make_queue):
    queue = make_queue()
    app = Durex(postgres_url)
    app.registry = process_order._enqueuer.registry
    app.enqueue("process_order", Order(id="1", amount=1))
    app.close()

    answer = function("tick", DUREX_WAKE_URLS=json.dumps({"process_order": queue.url})).invoke(event("tick"))

    assert answer.body == {"rescued": 0, "begun": 0, "promoted": 0, "due": {"process_order": 0}, "pruned": 0}
    assert (queue.depths(), queue.count(delayed=True)) == ([0], 1)


def test_the_migration_is_repeatable(function):
    migrate = function("migrate")

    assert [migrate.invoke(event("migrate")).body for _ in range(2)] == [{"applied": []}] * 2


def test_an_application_that_is_not_there_is_an_error_of_the_start(function):
    answer = function("worker", app="nowhere:app", DUREX_QUEUE="q").invoke(event("wake"))

    assert answer.is_error
    assert answer.body["errorType"] == "AppNotFound"


def test_a_handler_that_takes_no_notice_has_its_outcome_and_its_environment_ended(function, stage):
    worker = function("worker", app="errands:app", DUREX_QUEUE="errands")
    first = worker.invoke(sqs_event(wake("errands")))
    assert failed(first.body) == []
    process = worker.process_id
    stage.run(
        "INSERT INTO commands (id, name, queue, state, priority, ready_at, retries, created_at, dead_letter,"
        " timeout_seconds) VALUES (gen_random_uuid(), 'stick', 'errands', 'pending', 0, now(), 0, now(), true, 0.2)"
    )

    answer = worker.invoke(sqs_event(wake("errands")))

    assert answer.is_error
    assert answer.body["errorType"] == "Runtime.ExitError"
    assert stage.run("SELECT state, error ->> 'type' FROM finished_commands") == [("dead_letter", "TimedOut")]
    assert worker.process_id is None
    assert failed(worker.invoke(sqs_event(wake("errands"))).body) == []
    assert worker.process_id != process


def test_a_blocked_event_loop_ends_its_environment_before_its_time_is_up(function, stage):
    worker = function("worker", app="errands:app", DUREX_QUEUE="errands", timeout_seconds=5)
    stage.run(
        "INSERT INTO commands (id, name, queue, state, priority, ready_at, retries, created_at, dead_letter)"
        " VALUES (gen_random_uuid(), 'block', 'errands', 'pending', 0, now(), 0, now(), true)"
    )

    answer = worker.invoke(sqs_event(wake("errands")))

    assert answer.body["errorType"] == "Runtime.ExitError"
    # What came of it is stored: nothing that blocks the loop keeps its time from being up.
    assert stage.run("SELECT state, error ->> 'type' FROM finished_commands") == [("dead_letter", "TimedOut")]


def test_a_function_works_after_it_was_frozen_and_the_database_hung_up(function, stage):
    api = function("api")
    api.invoke(event("health"))
    process = psutil.Process(api.process_id)
    process.suspend()
    assert stage.end_sessions() == 1
    wait_until(lambda: stage.end_sessions() == 0)
    process.resume()

    assert api.invoke(event("health")).body["statusCode"] == 200
    assert api.starts == 1


def test_the_server_ends_an_idle_connection_and_the_next_invocation_opens_another(function, stage, roles):
    roles.set("api", "idle_session_timeout", "100ms")
    api = function("api", DUREX_DATABASE_URL=roles.of("api"))
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"

    for _ in range(2):
        assert api.invoke(event("health")).body["statusCode"] == 200
        wait_until(lambda: stage.run(sessions, roles.names["api"]) == [(0,)])

    assert api.starts == 1
