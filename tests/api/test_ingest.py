"""While the database is away a command is accepted; until it is stored, a look-up says so."""

import pytest
from keeper import Keeper

from durex_core import Durex
from durex_core.aws.ingest import MAX_BYTES
from durex_core.ids import is_ingested, new_ingested_id
from durex_core.observer import Observer
from durex_core.operations.ingest import drain

NOWHERE = "postgresql://durex:swordfish@127.0.0.1:1/durex"


@pytest.fixture
def keeper(monkeypatch):
    """What keeps commands in place of SQS."""
    keeper = Keeper()
    monkeypatch.setattr(Durex, "ingest", keeper)
    return keeper


@pytest.fixture
def lost_app():
    """An application whose database is away."""
    app = Durex(NOWHERE)

    @app.command("tick", queue="clock")
    def tick(payload): ...

    return app


def test_without_a_database_a_command_is_accepted_with_202_its_id_and_where_it_will_be(client_of, lost_app, keeper):
    with client_of(lost_app) as client:
        response = client.post("/v1/commands", json={"name": "tick", "payload": [1]}, headers={"Idempotency-Key": "k"})

    (message,) = keeper.messages
    command = message.command
    assert (response.status_code, response.headers["content-type"]) == (202, "application/json")
    assert response.json() == {"id": str(command.id), "state": "accepted"}
    assert response.headers["location"] == f"/v1/commands/{command.id}"
    assert is_ingested(command.id)
    assert (command.name, command.queue, command.payload, command.idempotency_key) == ("tick", "clock", [1], "k")


def test_what_is_too_large_to_keep_is_answered_with_503_and_says_so(client_of, lost_app, keeper, assert_problem):
    with client_of(lost_app) as client:
        response = client.post("/v1/commands", json={"name": "tick", "payload": "x" * (MAX_BYTES - 200)})

    document = assert_problem(response, 503, "database-unavailable")
    assert f"{MAX_BYTES:,} can be kept" in document["detail"]
    assert int(response.headers["retry-after"]) > 0
    assert keeper.bodies == []


def test_what_is_not_kept_is_answered_with_503(client_of, lost_app, monkeypatch, assert_problem):
    monkeypatch.setattr(Durex, "ingest", Keeper(works=False))
    with client_of(lost_app) as client:
        response = client.post("/v1/commands", json={"name": "tick"})

    assert_problem(response, 503, "database-unavailable")
    assert "retry-after" in response.headers


@pytest.mark.usefixtures("keeper")
def test_without_a_database_nobody_can_say_whether_a_command_was_stored(client_of, lost_app, assert_problem):
    with client_of(lost_app) as client:
        location = client.post("/v1/commands", json={"name": "tick"}).headers["location"]
        response = client.get(location)

    assert_problem(response, 503, "database-unavailable")
    assert int(response.headers["retry-after"]) > 0


def test_a_command_is_accepted_until_it_is_stored(client_of, lost_app, keeper, client, shop):
    with client_of(lost_app) as away:
        location = away.post("/v1/commands", json={"name": "tick", "unique_key": "k"}).headers["location"]

    waiting = client.get(location)
    drain(shop.app.database, shop.app.wake, keeper.messages, observers=Observer())
    stored = client.get(location)

    command_id = location.rpartition("/")[2]
    assert (waiting.status_code, waiting.json()) == (202, {"id": command_id, "state": "accepted"})
    assert (stored.status_code, stored.json()["id"], stored.json()["name"]) == (200, command_id, "tick")


def test_an_accepted_command_that_was_there_already_is_told_as_cancelled_and_names_the_other(
    client_of, lost_app, keeper, client, shop
):
    first = client.post("/v1/commands", json={"name": "tick", "unique_key": "k"}).json()["id"]
    with client_of(lost_app) as away:
        location = away.post("/v1/commands", json={"name": "tick", "unique_key": "k"}).headers["location"]
    drain(shop.app.database, shop.app.wake, keeper.messages, observers=Observer())

    document = client.get(location).json()

    assert (document["state"], document["error"]["type"]) == ("cancelled", "Duplicate")
    assert document["error"]["message"].startswith(f"duplicate: command {first} ")
    assert [event["event"] for event in document["history"]] == ["created", "cancelled"]


def test_a_look_at_an_accepted_command_without_its_body(client):
    response = client.head(f"/v1/commands/{new_ingested_id()}")

    assert (response.status_code, response.content) == (202, b"")


def test_an_accepted_command_cannot_be_cancelled_yet(client, assert_problem):
    document = assert_problem(client.post(f"/v1/commands/{new_ingested_id()}/cancel"), 404, "command-not-found")

    assert "be stored soon" in document["detail"]
