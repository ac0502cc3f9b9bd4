import threading
from datetime import datetime, timedelta

import pytest

from durex_core.api.documents import CommandDocument

UNKNOWN_ID = "019a2063-fc05-72e4-9bc1-56922de41a35"


def finish_the_failing_command(shop):
    """Let a worker run the command `fail` to its end."""
    worker = shop.app.worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert shop.failed_twice.wait(30)
    worker.stop()
    thread.join()


def test_a_waiting_command_is_told_in_full(client):
    body = {"name": "process_order", "payload": {"id": "42", "amount": 999}, "delay_seconds": 60, "correlation_id": "c"}
    created = client.post("/v1/commands", json=body)

    response = client.get(created.headers["location"])

    document = response.json()
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert {name: value for name, value in document.items() if not name.endswith("_at") and name != "history"} == {
        "id": created.json()["id"],
        "name": "process_order",
        "queue": "process_order",
        "state": "scheduled",
        "payload": {"id": "42", "amount": 999},
        "result": None,
        "error": None,
        "attempt": 0,
        "retries": 3,
        "priority": 0,
        "run": 1,
        "tags": ["order"],
        "correlation_id": "c",
        "parent_id": None,
        "unique_key": None,
        "idempotency_key": None,
        "timeout_seconds": 30.0,
        "backoff": None,
        "dead_letter": True,
        "deadline_seconds": None,
        "start_within_seconds": None,
        "period_seconds": None,
        "metadata": {},
        "sequence": [],
        "traceparent": None,
        "progress": None,
        "ending": None,
        "recovery": None,
        "join_id": None,
        "awaits": 0,
        "children": [],
    }
    assert [event["event"] for event in document["history"]] == ["created"]
    assert (document["started_at"], document["finished_at"]) == (None, None)


def test_moments_are_iso_8601_in_utc(client):
    location = client.post("/v1/commands", json={"name": "tick", "delay_seconds": 60}).headers["location"]

    document = client.get(location).json()

    moments = [datetime.fromisoformat(document[name]) for name in ("created_at", "ready_at")]
    assert all(moment.utcoffset() == timedelta(0) for moment in moments)
    assert moments[1] - moments[0] == timedelta(seconds=60)
    assert document["history"][0]["at"] == document["created_at"]


def test_a_command_that_failed_for_good_tells_why_and_all_that_happened(client, shop):
    location = client.post("/v1/commands", json={"name": "fail"}).headers["location"]
    finish_the_failing_command(shop)

    document = client.get(location).json()

    assert (document["state"], document["attempt"]) == ("dead_letter", 2)
    assert document["error"]["type"].endswith("RuntimeError")
    assert document["error"]["message"] == "attempt 2 failed on purpose"
    assert "raise RuntimeError" in document["error"]["traceback"]
    assert document["finished_at"] >= document["started_at"]
    history = document["history"]
    assert [event["attempt"] for event in history] == [0, 1, 1, 2, 2, 2]
    assert [event["event"] for event in history] == [
        *("created", "started", "failed", "started", "failed", "recovered")
    ]
    assert history[2]["error"]["message"] == "attempt 1 failed on purpose"
    assert all(history[place]["duration_seconds"] >= 0 for place in (2, 4))
    assert [event["at"] for event in history] == sorted(event["at"] for event in history)


def test_an_answer_is_what_its_description_says(client, shop):
    location = client.post("/v1/commands", json={"name": "fail"}).headers["location"]
    finish_the_failing_command(shop)

    answer = client.get(location)

    assert set(answer.json()) == set(CommandDocument.model_fields)
    CommandDocument.model_validate_json(answer.content)


def test_head_answers_like_get_without_a_body(client):
    location = client.post("/v1/commands", json={"name": "tick"}).headers["location"]

    found, unknown = client.head(location), client.head(f"/v1/commands/{UNKNOWN_ID}")

    assert (found.status_code, found.content) == (200, b"")
    assert (unknown.status_code, unknown.content) == (404, b"")


def test_an_unknown_id_is_answered_with_404(client, assert_problem):
    document = assert_problem(client.get(f"/v1/commands/{UNKNOWN_ID}"), 404, "command-not-found")

    assert UNKNOWN_ID in document["detail"]


@pytest.mark.parametrize("text", ["42", "not-an-id", UNKNOWN_ID[:-1], UNKNOWN_ID + "0", "%20", "%D9%A1", "..."])
def test_a_malformed_id_is_answered_with_400(lasting_client, assert_problem, text):
    response = lasting_client.get(f"/v1/commands/{text}")

    assert_problem(response, 400, "malformed-id", ["id"])
