"""The same routes behind API Gateway's HTTP API (payload format 2.0)."""

import base64
import json
from urllib.parse import parse_qs

import pytest
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from durex_core.api.application import build_api


class LambdaContext:
    function_name = "durex-api"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:durex-api"
    aws_request_id = "52fdfc07-2182-154f-163f-5f0f9a621d72"


@pytest.fixture
def invoke(shop):
    resolver = build_api(shop.app, APIGatewayHttpResolver(enable_validation=True))

    def call(method, path, body=None, *, query="", is_base64=False, headers=None):
        made = event(method, path, body, is_base64=is_base64, headers=headers)
        return resolver(made | {"rawQueryString": query, "queryStringParameters": flat(query)}, LambdaContext())

    return call


def flat(query):
    """What API Gateway makes of a query, besides handing it over as it is: values of one name joined with commas."""
    return {name: ",".join(values) for name, values in parse_qs(query).items()}


def event(method, path, body, *, is_base64, headers):
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "content-type": "application/json",
            "host": "r3pmxmplak.execute-api.eu-central-1.amazonaws.com",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        }
        | (headers or {}),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "r3pmxmplak",
            "authorizer": {"iam": {"accountId": "123456789012", "userArn": "arn:aws:iam::123456789012:user/a"}},
            "domainName": "r3pmxmplak.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "r3pmxmplak",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "10/Mar/2026:14:03:02 +0000",
            "timeEpoch": 1773151382000,
        },
        "isBase64Encoded": is_base64,
    } | ({} if body is None else {"body": body})


def test_a_command_is_enqueued_and_found(invoke, shop):
    order = json.dumps({"name": "process_order", "payload": {"id": "42", "amount": 999}})

    created = invoke("POST", "/v1/commands", order, headers={"idempotency-key": "a,b"})
    again = invoke("POST", "/v1/commands", order, headers={"idempotency-key": "a,b"})
    found = invoke("GET", created["headers"]["Location"])

    assert (created["statusCode"], again["statusCode"], found["statusCode"]) == (201, 200, 200)
    assert json.loads(again["body"]) == json.loads(created["body"]) | {"created": False}
    assert json.loads(found["body"])["payload"] == {"id": "42", "amount": 999}
    assert json.loads(found["body"])["idempotency_key"] == "a,b"
    assert shop.stored()["commands"] == 1


def test_a_body_in_base64_is_read(invoke):
    encoded = base64.b64encode('{"name": "anything", "payload": "é"}'.encode()).decode()

    created = invoke("POST", "/v1/commands", encoded, is_base64=True)

    assert json.loads(invoke("GET", created["headers"]["Location"])["body"])["payload"] == "é"


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [
        (400, "POST", "/v1/commands"),
        (400, "GET", "/v1/commands/42"),
        (404, "GET", "/v1/commands/019a2063-fc05-72e4-9bc1-56922de41a35"),
        (404, "GET", "/nowhere"),
        (405, "DELETE", "/v1/commands"),
    ],
)
def test_errors_are_problem_details(invoke, status, method, path):
    assert_problem(invoke(method, path), status)


@pytest.mark.parametrize(
    ("status", "body", "is_base64"),
    [
        (400, "{", False),
        (400, base64.b64encode(b'{"name": "\xff"}').decode(), True),
        (400, "x", True),
        (422, "[]", False),
        (422, '{"name": "tick", "retries": -1}', False),
        (422, '{"name": "nobody"}', False),
    ],
)
def test_a_refused_body_is_answered_with_a_problem_and_not_stored(invoke, shop, status, body, is_base64):
    assert_problem(invoke("POST", "/v1/commands", body, is_base64=is_base64), status)
    assert shop.stored() == {"commands": 0, "finished_commands": 0, "keys": 0}


def assert_problem(answer, status):
    assert answer["statusCode"] == status
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert json.loads(answer["body"])["status"] == status


def test_health_and_the_description_are_served(invoke, shop):
    health, docs = invoke("GET", "/v1/health"), invoke("GET", "/docs")

    assert json.loads(health["body"])["database"] == shop.app.database.dialect
    assert "swagger-ui" in docs["body"]


def test_commands_are_listed_cancelled_and_retried(invoke):
    tagged = json.dumps({"name": "anything", "tags": ["a,b", "c"]})
    created = [invoke("POST", "/v1/commands", tagged)["headers"]["Location"] for _ in range(3)]

    assert json.loads(invoke("POST", f"{created[0]}/cancel")["body"])["state"] == "cancelled"
    reason = json.dumps({"reason": "a slip"})
    assert json.loads(invoke("POST", f"{created[1]}/cancel", reason)["body"])["error"]["message"] == "a slip"
    assert json.loads(invoke("POST", f"{created[1]}/retry")["body"])["state"] == "pending"
    query = "tag=a%2Cb&tag=c&state=pending&state=cancelled&limit=2"
    page = json.loads(invoke("GET", "/v1/commands", query=query)["body"])
    rest = json.loads(invoke("GET", "/v1/commands", query=f"{query}&cursor={page['next_cursor']}")["body"])
    assert len(page["commands"] + rest["commands"]) == 3
    assert json.loads(invoke("GET", "/v1/stats")["body"])["states"]["cancelled"] == 1


@pytest.mark.parametrize("query", ["state=done", "tag=", "limit=1&limit=2", "stat=failed", "cursor=%FF"])
def test_a_refused_filter_is_answered_with_a_problem(invoke, query):
    assert_problem(invoke("GET", "/v1/commands", query=query), 422)


def test_what_is_not_allowed_is_answered_with_a_problem(invoke):
    location = invoke("POST", "/v1/commands", json.dumps({"name": "anything"}))["headers"]["Location"]

    assert_problem(invoke("POST", f"{location}/replay"), 409)
    assert_problem(invoke("POST", f"{location}/cancel", "{"), 400)
