import pytest
from virtual_store import VirtualStore

from durex_core.api.documents import CommandDocument
from durex_core.clock import utc_now
from durex_core.model import State
from durex_core.rules.outcomes import Settlement

UNKNOWN_ID = "019a2063-fc05-72e4-9bc1-56922de41a35"
ACTIONS = ["cancel", "retry", "replay"]


def enqueue(client, **fields):
    return client.post("/v1/commands", json={"name": "anything"} | fields).headers["location"]


def test_a_command_is_cancelled_with_a_reason(client):
    location = enqueue(client)

    response = client.post(f"{location}/cancel", json={"reason": "a slip"})

    document = response.json()
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert (document["state"], document["error"]["message"]) == ("cancelled", "a slip")
    assert document == client.get(location).json()
    assert [event["event"] for event in document["history"]] == ["created", "cancelled"]
    CommandDocument.model_validate_json(response.content)


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"reason": null}'])
def test_a_reason_may_be_left_out(client, body):
    response = client.post(f"{enqueue(client)}/cancel", content=body)

    assert (response.status_code, response.json()["error"]["message"]) == (200, "somebody cancelled it")


def test_a_cancelled_command_is_retried(client):
    location = enqueue(client)
    client.post(f"{location}/cancel")

    response = client.post(f"{location}/retry")

    assert (response.status_code, response.json()["state"]) == (200, "pending")
    assert response.json() == client.get(location).json()


def test_one_that_waits_for_its_time_is_spared_the_wait(client):
    location = enqueue(client, delay_seconds=3600)

    assert client.post(f"{location}/retry").json()["state"] == "pending"


def test_a_dead_letter_is_replayed(client, die):
    location = enqueue(client)
    die()
    assert client.get(location).json()["state"] == "dead_letter"

    assert client.post(f"{location}/replay").json()["state"] == "pending"


@pytest.fixture
def die(shop):
    """Let all that is ready fail for good."""

    def fail():
        store = VirtualStore(shop.app.database)
        store.now = utc_now()
        assert store.write(*(Settlement(c, State.DEAD_LETTER, "failed") for c in store.claim("anything")))

    return fail


def test_what_its_state_does_not_allow_is_answered_with_409(client, assert_problem):
    location = enqueue(client)

    ready = assert_problem(client.post(f"{location}/retry"), 409, "not-allowed")
    replayed = assert_problem(client.post(f"{location}/replay"), 409, "not-allowed")
    client.post(f"{location}/cancel")
    ended = assert_problem(client.post(f"{location}/cancel"), 409, "not-allowed")

    assert "is pending and cannot be retried: it is ready already" in ready["detail"]
    assert "is pending, not in the dead letter queue" in replayed["detail"]
    assert "is cancelled already" in ended["detail"]


def test_a_taken_unique_key_is_answered_with_409(client, assert_problem):
    location = enqueue(client, unique_key="u")
    client.post(f"{location}/cancel")
    holder = enqueue(client, unique_key="u").rpartition("/")[2]

    document = assert_problem(client.post(f"{location}/retry"), 409, "key-taken")

    assert "'u'" in document["detail"]
    assert holder in document["detail"]


@pytest.mark.parametrize("action", ACTIONS)
def test_an_unknown_command_is_answered_with_404_and_a_malformed_id_with_400(lasting_client, assert_problem, action):
    assert_problem(lasting_client.post(f"/v1/commands/{UNKNOWN_ID}/{action}"), 404, "command-not-found")
    assert_problem(lasting_client.post(f"/v1/commands/42/{action}"), 400, "malformed-id", ["id"])


@pytest.mark.parametrize(
    ("body", "status", "slug", "fields"),
    [
        (b'{"reason": 7}', 422, "invalid-spec", ["reason"]),
        (b'{"reason": ""}', 422, "invalid-query", ["reason"]),
        (b'{"reason": "\\u0000"}', 422, "invalid-query", ["reason"]),
        (b'{"why": "x"}', 422, "invalid-spec", ["why"]),
        (b"[]", 422, "invalid-spec", ["body"]),
        (b"null", 422, "invalid-spec", ["body"]),
        (b"x", 400, "malformed-request", []),
    ],
)
def test_a_reason_that_cannot_be_kept_is_refused(client, assert_problem, *, body, status, slug, fields):
    location = enqueue(client)

    assert_problem(client.post(f"{location}/cancel", content=body), status, slug, fields)

    assert client.get(location).json()["state"] == "pending"
