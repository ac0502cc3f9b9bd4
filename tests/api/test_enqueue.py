from datetime import timedelta

import pytest

from durex_core.backoff import Constant, Exponential, Jittered
from durex_core.model import State


def test_a_new_command_is_answered_with_201_its_id_and_where_it_is_found(client, shop):
    response = client.post("/v1/commands", json={"name": "process_order", "payload": {"id": "42", "amount": 999}})

    document = response.json()
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert response.headers["location"] == f"/v1/commands/{document['id']}"
    assert document == {"id": document["id"], "created": True}
    assert client.get(response.headers["location"]).json()["id"] == document["id"]
    assert shop.stored() == {"commands": 1, "finished_commands": 0, "keys": 0}


def test_every_option_of_the_body_reaches_the_stored_command(client, shop):
    body = {
        "name": "anything",
        "payload": {"text": "é😀", "numbers": [1, -2.5, 0.1], "nothing": None, "flag": True},
        "delay_seconds": 90.5,
        "priority": -7,
        "retries": 5,
        "timeout_seconds": 12.5,
        "backoff": {"kind": "jittered", "rate": 0.5, "backoff": {"kind": "exponential", "initial_delay": 2}},
        "dead_letter": False,
        "tags": ["a", "b"],
        "correlation_id": "business 1",
        "unique_key": "order:42",
        "idempotency_key": "request 1",
    }

    command = shop.app.get(client.post("/v1/commands", json=body).json()["id"])

    assert command.payload == body["payload"]
    assert command.state is State.SCHEDULED
    assert command.ready_at - command.created_at == timedelta(seconds=90.5)
    assert (command.priority, command.retries, command.dead_letter) == (-7, 5, False)
    assert command.timeout == timedelta(seconds=12.5)
    assert command.backoff == Jittered(Exponential(initial_delay=timedelta(seconds=2)), rate=0.5)
    assert command.tags == ("a", "b")
    assert (command.correlation_id, command.unique_key) == ("business 1", "order:42")
    assert command.idempotency_key == "request 1"


def test_options_that_are_left_out_or_null_take_the_handlers_defaults(client, shop):
    order = {"name": "process_order", "payload": {"id": "42", "amount": 999}}
    nulls = dict.fromkeys(["delay_seconds", "priority", "retries", "timeout_seconds", "backoff", "tags"])

    for body in (order, order | nulls):
        command = shop.app.get(client.post("/v1/commands", json=body).json()["id"])

        assert (command.retries, command.priority, command.state) == (3, 0, State.PENDING)
        assert (command.timeout, command.tags) == (timedelta(seconds=30), ("order",))


def test_zero_is_a_value_and_no_default(client, shop):
    body = {"name": "process_order", "payload": {"id": "1", "amount": 1}, "retries": 0, "tags": [], "delay_seconds": 0}

    command = shop.app.get(client.post("/v1/commands", json=body).json()["id"])

    assert (command.retries, command.tags, command.state) == (0, (), State.PENDING)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("process_order", {"id": "1", "amount": 1}),
        ("weigh", {"weight": 1.5}),
        ("add", [1, 2, 3]),
        ("tick", None),
        ("anything", "text"),
        ("anything", 0),
        ("anything", False),
        ("anything", 12345678901234567890123),
        ("anything", []),
        ("anything", {"": {"deep": [[["x"]]]}}),
        ("anything", '</script> \\ " \u2028 \x01 \U0001f600'),
    ],
)
def test_a_payload_comes_back_as_it_was_sent(client, name, payload):
    location = client.post("/v1/commands", json={"name": name, "payload": payload}).headers["location"]

    assert client.get(location).json()["payload"] == payload


def test_a_payload_may_be_left_out(client):
    location = client.post("/v1/commands", json={"name": "tick"}).headers["location"]

    assert client.get(location).json()["payload"] is None


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {"Idempotency-Key": "k, with a comma"}),
        ({"idempotency_key": "k"}, {}),
        ({"idempotency_key": "k"}, {"idempotency-key": "k"}),
        ({"unique_key": "k"}, {}),
    ],
)
def test_a_key_that_is_taken_is_answered_with_200_and_the_first_command(client, shop, body, headers):
    first = client.post("/v1/commands", json={"name": "anything", "payload": 1} | body, headers=headers)
    second = client.post("/v1/commands", json={"name": "anything", "payload": 2} | body, headers=headers)

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == {"id": first.json()["id"], "created": False}
    assert second.headers["location"] == first.headers["location"]
    assert shop.stored()["commands"] == 1


def test_a_key_in_the_header_is_the_key_in_the_body(client):
    first = client.post("/v1/commands", json={"name": "tick"}, headers={"Idempotency-Key": "k"})
    second = client.post("/v1/commands", json={"name": "tick", "idempotency_key": "k"})

    assert second.json() == {"id": first.json()["id"], "created": False}


@pytest.mark.parametrize("content_type", [None, "application/json", "Application/JSON ; charset=UTF-8"])
def test_json_is_taken_with_any_way_to_say_json_and_with_none(client, content_type):
    headers = {"Content-Type": content_type} if content_type else {}

    assert client.post("/v1/commands", content=b'{"name": "tick"}', headers=headers).status_code == 201


def test_the_largest_payload_fits_in_whatever_way_its_json_is_escaped(client):
    payload = "é" * ((20_000 - 2) // 2)
    escaped = '{"name": "anything", "payload": "' + "\\u00e9" * len(payload) + '"}'

    response = client.post("/v1/commands", content=escaped.encode())

    assert response.status_code == 201
    assert client.get(response.headers["location"]).json()["payload"] == payload


def test_delays_of_a_backoff_are_seconds_there_and_back(client, shop):
    body = {"name": "tick", "backoff": {"kind": "constant", "delay": 1.5}}

    location = client.post("/v1/commands", json=body).headers["location"]

    assert client.get(location).json()["backoff"] == {"kind": "constant", "delay": 1.5}
    assert shop.app.get(location.rpartition("/")[2]).backoff == Constant(timedelta(seconds=1.5))
