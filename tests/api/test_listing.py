import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import pytest

from durex_core import Spec
from durex_core.api.documents import PageDocument, StatsDocument
from durex_core.operations.describe import describe

UNKNOWN_ID = "019a2063-fc05-72e4-9bc1-56922de41a35"


def enqueue(client, **fields):
    return client.post("/v1/commands", json={"name": "anything"} | fields).json()["id"]


def listed(client, **parameters):
    response = client.get("/v1/commands", params=parameters)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    return [command["id"] for command in response.json()["commands"]]


def test_commands_are_listed_as_they_are_told_one_by_one(client, shop):
    ids = {enqueue(client, payload={"a": [1]}, tags=["a"]), enqueue(client, delay_seconds=60)}
    shop.app.cancel(enqueue(client))

    response = client.get("/v1/commands")

    document = response.json()
    assert set(document) == {"commands", "next_cursor"}
    assert ids < {command["id"] for command in document["commands"]}
    assert document["commands"] == [client.get(f"/v1/commands/{c['id']}").json() for c in document["commands"]]
    PageDocument.model_validate_json(response.content)


def test_pages_lead_to_each_other(client):
    ids = sorted((enqueue(client) for _ in range(5)), reverse=True)
    found, cursor = [], {}
    for _ in range(3):
        page = client.get("/v1/commands", params={"limit": 2} | cursor).json()
        found += [command["id"] for command in page["commands"]]
        cursor = {"cursor": page["next_cursor"]}

    assert (found, cursor) == (ids, {"cursor": None})


def test_fifty_are_listed_where_no_limit_is_given(client, shop):
    shop.app.enqueue_many([Spec("anything")] * 51)

    document = client.get("/v1/commands").json()

    assert len(document["commands"]) == 50
    assert document["next_cursor"]
    assert len(client.get("/v1/commands?limit=500").json()["commands"]) == 51


def test_every_filter_is_taken(client, shop):
    wanted = enqueue(
        client,
        payload={"order": {"id": "4,2", "lines": [{"n": 1}]}},
        tags=["a,b", "c&d"],
        correlation_id="c=1",
        unique_key="u/é",
        delay_seconds=60,
    )
    other = enqueue(client)
    created = shop.app.get(wanted).created_at

    for parameters in (
        {"state": "scheduled"},
        {"state": ["scheduled", "failed"]},
        {"tag": "a,b"},
        {"tag": ["a,b", "c&d"]},
        {"correlation_id": "c=1"},
        {"unique_key": "u/é"},
        {"payload": '{"order.id": "4,2", "order.lines.0.n": 1.0}'},
    ):
        assert listed(client, **parameters) == [wanted], parameters
    for parameters in (
        {"name": "anything"},
        {"queue": ["anything", "tick"]},
        {"created_after": created.isoformat(), "created_before": (created + timedelta(hours=1)).isoformat()},
    ):
        assert set(listed(client, **parameters)) == {wanted, other}, parameters
    for parameters in ({"parent_id": UNKNOWN_ID}, {"name": "tick"}, {"created_before": "2026-01-01T00:00:00Z"}):
        assert listed(client, **parameters) == [], parameters
    assert listed(client, order_by="ready_at", descending="false") == [other, wanted]
    assert listed(client, order_by="finished_at") == []


REFUSED = {
    "an unknown state": ("state=done", "state"),
    "a state among others": ("state=failed&state=done", "state"),
    "an unknown filter": ("stat=failed", "stat"),
    "a plural": ("states=failed", "states"),
    "no limit": ("limit=", "limit"),
    "a limit of zero": ("limit=0", "limit"),
    "a limit over the most": ("limit=501", "limit"),
    "a limit of words": ("limit=ten", "limit"),
    "two limits": ("limit=1&limit=2", "limit"),
    "a parent that is no id": ("parent_id=42", "parent_id"),
    "a moment without an offset": ("created_after=2026-01-31T12:00:00", "created_after"),
    "a day that is none": ("created_before=2026-02-31T12:00:00Z", "created_before"),
    "an unknown order": ("order_by=name", "order_by"),
    "a direction": ("descending=down", "descending"),
    "a payload that is no JSON": ("payload=a", "payload"),
    "a payload that is no object": ("payload=[1]", "payload"),
    "a payload with a bad path": ('payload={"a..b":1}', "payload"),
    "a payload that no database holds": ('payload={"a":"%5Cu0000"}', "payload"),
    "a payload that is no number": ('payload={"a":NaN}', "payload"),
    "an empty payload": ("payload={}", "payload"),
    "a tag of nothing": ("tag=", "tag"),
    "a tag with a zero byte": ("tag=%00", "tag"),
    "a name that is none": ("name=no%20name", "name"),
    "a malformed cursor": ("cursor=x", "cursor"),
    "an empty cursor": ("cursor=", "cursor"),
    "an order that live commands do not have": ("order_by=finished_at&state=pending", "order_by"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_filter_is_answered_with_422_and_its_name(lasting_client, assert_problem, kind):
    query, field = REFUSED[kind]

    assert_problem(lasting_client.get(f"/v1/commands?{query}"), 422, "invalid-query", [field])


def test_a_refusal_says_what_there_is(lasting_client, assert_problem):
    unknown = assert_problem(lasting_client.get("/v1/commands?stat=failed"), 422, "invalid-query", ["stat"])
    bad = assert_problem(lasting_client.get("/v1/commands?state=done"), 422, "invalid-query", ["state"])

    assert "is no parameter; there are state, name, queue, tag" in unknown["detail"]
    assert "'dead_letter'" in bad["detail"]
    assert "not 'done'" in bad["detail"]


def test_a_cursor_of_another_ordering_is_refused(client, assert_problem):
    for _ in range(2):
        enqueue(client)
    cursor = client.get("/v1/commands?limit=1").json()["next_cursor"]

    response = client.get(f"/v1/commands?limit=1&order_by=priority&cursor={quote(cursor)}")

    assert_problem(response, 422, "invalid-query", ["cursor"])


def test_statistics_are_told_by_queue_and_state(client, shop):
    enqueue(client)
    enqueue(client, delay_seconds=60)
    shop.app.cancel(enqueue(client, name="tick"))

    response = client.get("/v1/stats")

    document = response.json()
    age = document["queues"][0].pop("oldest_ready_age_seconds")
    assert 0 <= age < 60
    assert document["queues"] == [
        {"queue": "anything", "ready": 1, "live": {"pending": 1, "scheduled": 1}, "finished": {}},
        {"queue": "tick", "ready": 0, "oldest_ready_age_seconds": None, "live": {}, "finished": {"cancelled": 1}},
    ]
    assert (document["ready"], document["finished_within_seconds"]) == (1, 86400.0)
    assert (document["states"]["cancelled"], document["states"]["failed"]) == (1, 0)
    StatsDocument.model_validate_json(response.content)
    assert client.get("/v1/stats?finished_within_seconds=0.5").json()["finished_within_seconds"] == 0.5
    assert client.head("/v1/stats").status_code == client.head("/v1/commands").status_code == 200


@pytest.mark.parametrize("query", ["finished_within_seconds=-1", "finished_within_seconds=inf", "finished_within=1"])
def test_a_bad_time_to_look_back_is_refused(lasting_client, assert_problem, query):
    response = lasting_client.get(f"/v1/stats?{query}")

    assert_problem(response, 422, "invalid-query", [query.partition("=")[0]])


def test_every_option_of_a_spec_is_taken_and_told(client, shop):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    options = {
        "run_at": "2099-01-31T12:00:00+01:00",
        "deadline_seconds": 3600.5,
        "start_within_seconds": 60.0,
        "period_seconds": 5.0,
        "metadata": {"a": [1]},
        "sequence": ["tick", "add"],
        "traceparent": trace,
    }
    location = client.post("/v1/commands", json={"name": "anything"} | options).headers["location"]

    document = client.get(location).json()

    assert {name: document[name] for name in options if name != "run_at"} == {
        name: value for name, value in options.items() if name != "run_at"
    }
    assert document["ready_at"] == "2099-01-31T11:00:00.000000Z"
    assert document["deadline_at"] == "2099-01-31T12:00:00.500000Z"
    assert document["expires_at"] == "2099-01-31T11:01:00.000000Z"
    assert document == json.loads(json.dumps(describe(shop.app.get(UUID(document["id"])))))


def test_a_deadline_may_be_a_moment(client):
    deadline = (datetime(2099, 1, 31, tzinfo=UTC)).isoformat()
    location = client.post("/v1/commands", json={"name": "anything", "deadline_at": deadline}).headers["location"]

    assert client.get(location).json()["deadline_at"] == "2099-01-31T00:00:00.000000Z"


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IN_BODY = "00-11111111111111111111111111111111-2222222222222222-00"


@pytest.mark.parametrize(
    ("header", "body", "kept"),
    [
        (TRACE, None, TRACE),
        (TRACE, IN_BODY, IN_BODY),
        ("no trace", None, None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_the_trace_context_of_the_request_is_kept_where_the_body_has_none(client, header, body, kept):
    headers = {} if header is None else {"traceparent": header}
    response = client.post("/v1/commands", json={"name": "anything", "traceparent": body}, headers=headers)

    assert response.status_code == 201
    assert client.get(response.headers["location"]).json()["traceparent"] == kept
