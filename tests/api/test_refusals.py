"""What the API refuses: how it answers, and that nothing of it is stored."""

import json
import logging
import socket
from contextlib import suppress

import pytest

TEXT = {"Content-Type": "text/plain"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


def body(name="anything", **fields):
    return json.dumps({"name": name} | fields).encode()


def payload(text, name="anything"):
    """A body around a payload that json.dumps would not write."""
    return f'{{"name": "{name}", "payload": {text}}}'.encode()


UNREADABLE = {
    "an empty body": b"",
    "blanks": b" \n",
    "half an object": b'{"name": "anything"',
    "a single quote": b"{'name': 'anything'}",
    "two documents": body() + body(),
    "a byte order mark": b"\xef\xbb\xbf" + body(),
    "bytes that are no UTF-8": b'{"name": "anything", "payload": "\xff"}',
    "UTF-16": '{"name": "anything"}'.encode("utf-16"),
    "a doubled key": b'{"name": "anything", "name": "tick"}',
    "a doubled key inside": payload('{"a": 1, "a": 2}'),
}

UNFIT = {
    "a list around the object": (b"[" + body() + b"]", ["body"]),
    "a text": (b'"anything"', ["body"]),
    "a number": (b"1", ["body"]),
    "null": (b"null", ["body"]),
    "endless nesting": (payload("[" * 50_000 + "]" * 50_000), ["body"]),
    "deep nesting": (payload("[" * 500 + "]" * 500), ["payload"]),
    "an integer without end": (payload("9" * 5_000), ["body"]),
    "no name": (b"{}", ["name"]),
    "a null name": (b'{"name": null}', ["name"]),
    "a name of a number": (b'{"name": 1}', ["name"]),
    "a name with a blank": (body("no name"), ["name"]),
    "a name with a line end": (body("anything\n"), ["name"]),
    "a name too long": (body("x" * 101), ["name"]),
    "an unknown field": (body(retires=1), ["retires"]),
    "the core's name of a field": (body(delay=1), ["delay"]),
    "negative delay": (body(delay_seconds=-1), ["delay_seconds"]),
    "endless delay": (body(delay_seconds=1e12), ["delay_seconds"]),
    "infinite delay": (b'{"name": "anything", "delay_seconds": Infinity}', ["delay_seconds"]),
    "delay that is no number": (b'{"name": "anything", "delay_seconds": NaN}', ["delay_seconds"]),
    "delay as text": (body(delay_seconds="1"), ["delay_seconds"]),
    "delay as a boolean": (body(delay_seconds=True), ["delay_seconds"]),
    "negative timeout": (body(timeout_seconds=-1), ["timeout_seconds"]),
    "a period of zero": (body(period_seconds=0), ["period_seconds"]),
    "negative deadline": (body(deadline_seconds=-1), ["deadline_seconds"]),
    "a deadline below the clock": (body(deadline_seconds=1e-9), ["deadline_seconds"]),
    "endless time to start": (body(start_within_seconds=1e12), ["start_within_seconds"]),
    "a moment without an offset": (body(run_at="2026-01-31T12:00:00"), ["run_at"]),
    "a moment as a number": (body(run_at=1795407700), ["run_at"]),
    "a day that is none": (body(deadline_at="2026-02-31T12:00:00Z"), ["deadline_at"]),
    "metadata that is a list": (body(metadata=[1]), ["metadata"]),
    "a sequence with a bad name": (body(sequence=["no name"]), ["sequence[0]"]),
    "a malformed trace context": (body(traceparent="00-1-2-3"), ["traceparent"]),
    "a timeout below the clock": (body(timeout_seconds=1e-9), ["timeout_seconds"]),
    "negative retries": (body(retries=-1), ["retries"]),
    "too many retries": (body(retries=1001), ["retries"]),
    "retries as text": (body(retries="3"), ["retries"]),
    "retries as a fraction": (body(retries=1.5), ["retries"]),
    "retries as a boolean": (body(retries=True), ["retries"]),
    "a low priority": (body(priority=-32769), ["priority"]),
    "a high priority": (body(priority=10**30), ["priority"]),
    "dead_letter as text": (body(dead_letter="no"), ["dead_letter"]),
    "two faults": (body(retries=-1, priority="high"), ["priority", "retries"]),
    "an unknown backoff": (body(backoff={"kind": "random"}), ["backoff"]),
    "a backoff without kind": (body(backoff={"delay": 1}), ["backoff"]),
    "a backoff as text": (body(backoff="constant"), ["backoff"]),
    "a negative backoff": (body(backoff={"kind": "constant", "delay": -1}), ["backoff.delay"]),
    "an option of another backoff": (body(backoff={"kind": "linear", "factor": 2}), ["backoff.factor"]),
    "a fault in a jittered backoff": (
        body(backoff={"kind": "jittered", "backoff": {"kind": "exponential", "factor": 0}}),
        ["backoff.backoff.factor"],
    ),
    "tags as text": (body(tags="a"), ["tags"]),
    "too many tags": (body(tags=["a"] * 21), ["tags"]),
    "an empty tag": (body(tags=["a", ""]), ["tags[1]"]),
    "NUL in a tag": (body(tags=["a\0"]), ["tags[0]"]),
    "a lone surrogate in a tag": (body(tags=["\ud800"]), ["tags[0]"]),
    "an empty unique key": (body(unique_key=""), ["unique_key"]),
    "NUL in a unique key": (body(unique_key="a\0b"), ["unique_key"]),
    "a lone surrogate in a unique key": (body(unique_key="\udfff"), ["unique_key"]),
    "a correlation id too long": (body(correlation_id="x" * 256), ["correlation_id"]),
    "NUL in an idempotency key": (body(idempotency_key="\0"), ["idempotency_key"]),
    "a lone surrogate in a field's name": (b'{"name": "anything", "\\ud800": 1}', ["body"]),
    "NaN": (payload("NaN"), ["payload"]),
    "NaN inside": (payload('{"prices": [1, NaN]}'), ["payload.prices[1]"]),
    "Infinity": (payload('{"price": -Infinity}'), ["payload.price"]),
    "a number that becomes infinite": (payload('{"price": 1e999}'), ["payload.price"]),
    "NUL": (payload('{"note": "a\\u0000b"}'), ["payload.note"]),
    "NUL in a key": (payload('{"a\\u0000": 1}'), ["payload.a\\0"]),
    "a lone surrogate": (payload('{"notes": ["\\ud800"]}'), ["payload.notes[0]"]),
    "an order that is no object": (body("process_order", payload=1), ["payload"]),
    "an order without its payload": (body("process_order"), ["payload"]),
    "an order without an amount": (body("process_order", payload={"id": "1"}), ["payload.amount"]),
    "an order of nothing": (body("process_order", payload={"id": "1", "amount": 0}), ["payload.amount"]),
    "a parcel of no weight": (body("weigh", payload={"weight": "heavy"}), ["payload.weight"]),
    "a list with a text": (body("add", payload=[1, "two"]), ["payload[1]"]),
    "a payload for a handler that takes none": (body("tick", payload=1), ["payload"]),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_body_that_cannot_be_read_is_answered_with_400(lasting_client, assert_problem, case):
    response = lasting_client.post("/v1/commands", content=UNREADABLE[case])

    assert_problem(response, 400, "malformed-request")


@pytest.mark.parametrize("case", UNFIT)
def test_a_value_that_does_not_fit_is_answered_with_422_and_the_name_of_its_field(lasting_client, assert_problem, case):
    content, fields = UNFIT[case]

    assert_problem(lasting_client.post("/v1/commands", content=content), 422, "invalid-spec", fields)


def test_an_unknown_command_is_answered_with_the_known_ones(lasting_client, assert_problem):
    response = lasting_client.post("/v1/commands", content=body("proces_order"))

    document = assert_problem(response, 422, "unknown-command", ["name"])
    assert "'proces_order'" in document["detail"]
    assert "process_order" in document["errors"][0]["message"]


def test_all_that_is_refused_leaves_both_databases_empty(client, shop):
    refused = [*UNREADABLE.values(), *(content for content, _ in UNFIT.values()), body("nobody"), body("explode")]

    statuses = {client.post("/v1/commands", content=content).status_code for content in refused}

    assert statuses == {400, 422}
    assert shop.stored() == {"commands": 0, "finished_commands": 0, "keys": 0}


@pytest.mark.parametrize("headers", [TEXT, FORM, MULTIPART, {"Content-Type": "application/jsonp"}])
def test_another_content_type_than_json_is_answered_with_415(lasting_client, assert_problem, headers):
    assert_problem(lasting_client.post("/v1/commands", content=body(), headers=headers), 415, "unsupported-media-type")


@pytest.mark.parametrize(("key", "field"), [("", "Idempotency-Key"), ("x" * 256, "Idempotency-Key")])
def test_a_bad_idempotency_key_is_named_as_the_header(lasting_client, assert_problem, key, field):
    response = lasting_client.post("/v1/commands", content=body(), headers={"Idempotency-Key": key})

    assert_problem(response, 422, "invalid-spec", [field])


def test_two_different_idempotency_keys_are_refused(lasting_client, lasting_shop, assert_problem):
    response = lasting_client.post("/v1/commands", content=body(idempotency_key="a"), headers={"Idempotency-Key": "b"})

    assert_problem(response, 422, "invalid-spec", ["idempotency_key"])
    assert lasting_shop.stored() == {"commands": 0, "finished_commands": 0, "keys": 0}


def test_a_header_that_is_no_text_is_answered_with_400(lasting_client, assert_problem):
    response = lasting_client.post("/v1/commands", content=body(), headers=[(b"x-note", b"\xff")])

    assert_problem(response, 400, "malformed-request")


def test_a_payload_over_the_limit_is_answered_with_413(lasting_client, lasting_shop, assert_problem):
    response = lasting_client.post("/v1/commands", content=body(payload="x" * 20_000))

    document = assert_problem(response, 413, "too-large", ["payload"])
    assert "20,000" in document["detail"]
    assert lasting_shop.stored() == {"commands": 0, "finished_commands": 0, "keys": 0}


def test_a_body_that_says_it_is_huge_is_refused_before_it_is_sent(lasting_client):
    answer = _exchange(lasting_client, b"Content-Length: 1000000000000\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"urn:durex:problem:too-large" in answer


def test_a_body_without_an_end_is_cut_off(lasting_client):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    answer = _exchange(lasting_client, b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/commands", "/v1/commands/", "/v1/commands/a/b", "/v1/health/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_path_is_answered_with_404(lasting_client, assert_problem, method, path):
    assert_problem(lasting_client.request(method, path), 404, "not-found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/commands", "GET, HEAD, OPTIONS, POST"),
        ("/v1/commands/019a2063-fc05-72e4-9bc1-56922de41a35/cancel", "OPTIONS, POST"),
        ("/v1/commands/019a2063-fc05-72e4-9bc1-56922de41a35/retry", "OPTIONS, POST"),
        ("/v1/commands/019a2063-fc05-72e4-9bc1-56922de41a35/replay", "OPTIONS, POST"),
        ("/v1/stats", "GET, HEAD, OPTIONS"),
        ("/v1/commands/019a2063-fc05-72e4-9bc1-56922de41a35", "GET, HEAD, OPTIONS"),
        ("/v1/health", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_answered_with_405_and_the_right_ones(lasting_client, assert_problem, path, allowed):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "BREW"} - set(allowed.split(", ")):
        response = lasting_client.request(method, path)

        assert_problem(response, 405, "method-not-allowed")
        assert response.headers["allow"] == allowed


def test_options_tells_the_methods_of_a_path(lasting_client):
    response = lasting_client.options("/v1/commands")

    assert (response.status_code, response.headers["allow"], response.content) == (204, "GET, HEAD, OPTIONS, POST", b"")


def test_an_error_that_nobody_foresaw_is_logged_and_kept_inside(lasting_client, lasting_shop, assert_problem, caplog):
    with caplog.at_level(logging.ERROR):
        response = lasting_client.post("/v1/commands", content=body("explode", payload={"text": "x"}))

    assert_problem(response, 500, "internal-error")
    assert "swordfish" not in response.text
    assert "RuntimeError" not in response.text
    assert "RuntimeError: the password is swordfish, the text x" in caplog.text
    assert "Traceback" in caplog.text
    assert lasting_shop.stored() == {"commands": 0, "finished_commands": 0, "keys": 0}


def _exchange(client, rest):
    """Send a POST without an end, and return all that the server says to it until it hangs up."""
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(b"POST /v1/commands HTTP/1.1\r\nHost: durex\r\n" + rest)
        answer = b""
        # It hangs up with a part of the request unread, which this side may see as a reset.
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
    return answer
