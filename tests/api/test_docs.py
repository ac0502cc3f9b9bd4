import json
import re

import pytest

from durex_core import __version__
from durex_core.api.query_parameters import FindParameters


@pytest.fixture(scope="module")
def spec(lasting_client):
    response = lasting_client.get("/docs?format=json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    return response.json()


def operations(spec):
    return {operation["operationId"]: operation for path in spec["paths"].values() for operation in path.values()}


def references(value):
    match value:
        case dict():
            yield from (item for key, item in value.items() if key == "$ref")
            yield from (found for item in value.values() for found in references(item))
            yield from value.get("discriminator", {}).get("mapping", {}).values() if "discriminator" in value else ()
        case list():
            yield from (found for item in value for found in references(item))


def test_the_page_shows_the_description_and_needs_no_other_host(lasting_client, spec):
    response = lasting_client.get("/docs")

    page = response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert '<div id="swagger-ui">' in page
    assert "SwaggerUIBundle(swaggerUIOptions)" in page
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page[page.index("</style>") :])
    shown, _ = json.JSONDecoder().raw_decode(page, page.index("spec: ") + len("spec: "))
    assert shown == spec


def test_the_description_says_whose_it_is(spec):
    assert spec["openapi"].startswith("3.1.")
    assert (spec["info"]["title"], spec["info"]["version"]) == ("durex", __version__)


def test_every_route_and_every_answer_is_described(spec):
    described = {
        (path, method): set(operation["responses"])
        for path, operations in spec["paths"].items()
        for method, operation in operations.items()
    }

    assert described == {
        ("/v1/commands", "post"): {"200", "201", "202", "400", "413", "415", "422", "500", "503"},
        ("/v1/commands", "get"): {"200", "422", "500", "503"},
        ("/v1/commands/{id}", "get"): {"200", "202", "400", "404", "500", "503"},
        ("/v1/commands/{id}/cancel", "post"): {"200", "400", "404", "409", "413", "415", "422", "500", "503"},
        ("/v1/commands/{id}/retry", "post"): {"200", "400", "404", "409", "500", "503"},
        ("/v1/commands/{id}/replay", "post"): {"200", "400", "404", "409", "500", "503"},
        ("/v1/stats", "get"): {"200", "422", "500", "503"},
        ("/v1/queues/{queue}/wake", "post"): {"202", "404", "500", "503"},
        ("/v1/health", "get"): {"200", "503"},
    }


def test_every_error_is_described_as_problem_details(spec):
    for operation in operations(spec).values():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert response["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }


def test_every_reference_leads_somewhere_and_no_schema_is_left_over(spec):
    named = {reference.rpartition("/")[2] for reference in references(spec)}

    assert named == set(spec["components"]["schemas"])


def test_limits_and_the_idempotency_key_are_described(spec):
    enqueue = operations(spec)["enqueue"]
    fields = spec["components"]["schemas"]["SpecDocument"]["properties"]

    assert [(p["name"], p["in"], p["required"]) for p in enqueue["parameters"]] == [
        ("Idempotency-Key", "header", False),
        ("Traceparent", "header", False),
    ]
    assert fields["retries"]["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": 1000}
    assert spec["components"]["schemas"]["SpecDocument"]["additionalProperties"] is False
    assert spec["components"]["schemas"]["Constant"]["properties"]["delay"]["type"] == "number"


def test_the_parameters_of_a_listing_are_described_with_their_limits(spec):
    parameters = {parameter["name"]: parameter for parameter in operations(spec)["find_commands"]["parameters"]}

    assert set(parameters) == set(FindParameters.model_fields)
    assert all(p["in"] == "query" and p["required"] is False and p["description"] for p in parameters.values())
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
    assert parameters["state"]["schema"]["items"] == {"$ref": "#/components/schemas/State"}
    assert parameters["parent_id"]["schema"] == {"type": "string", "format": "uuid"}
    assert parameters["created_after"]["schema"] == {"type": "string", "format": "date-time"}
    assert spec["components"]["schemas"]["Order"]["enum"] == ["created_at", "ready_at", "finished_at", "priority"]


def test_a_reason_to_cancel_may_be_left_out(spec):
    assert operations(spec)["cancel_command"]["requestBody"].get("required", False) is False


def test_the_examples_of_requests_are_accepted(client, spec):
    examples = operations(spec)["enqueue"]["requestBody"]["content"]["application/json"]["examples"]

    assert {
        name: client.post("/v1/commands", json=example["value"]).status_code for name, example in examples.items()
    } == {
        "order": 201,
        "later": 201,
    }
