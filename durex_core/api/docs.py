"""`/docs`: the API described, as a page for people and, with `?format=json`, as OpenAPI for programs."""

from functools import cache
from importlib.resources import files
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver
from aws_lambda_powertools.event_handler.openapi.swagger_ui import generate_swagger_html
from pydantic import BaseModel

from durex_core import __version__, strict_json
from durex_core.api.query_parameters import FindParameters, StatsParameters, described

PATH = "/docs"

_ASSETS = files("aws_lambda_powertools.event_handler.openapi.swagger_ui")
_DESCRIPTION = "Enqueue commands of this application and see what becomes of them. Every error is problem details."
_QUERIES: dict[str, type[BaseModel]] = {"find_commands": FindParameters, "get_stats": StatsParameters}
_POWERTOOLS_ERRORS = {"HTTPValidationError", "ResponseValidationError", "ValidationError"}


def add_docs(resolver: ApiGatewayResolver) -> None:
    """Describe the routes of a resolver at `/docs`. The page needs nothing from other hosts."""

    @cache
    def spec() -> str:
        # A "</" inside the page's script must not end it.
        return strict_json.encode(openapi(resolver)).replace("</", "<\\/")

    @resolver.route(PATH, ["GET", "HEAD"], include_in_schema=False)
    def docs() -> Response[str]:
        if resolver.current_event.query_string_parameters.get("format") == "json":
            return Response(200, "application/json", spec())
        return Response(200, "text/html; charset=utf-8", _page(spec()))


def openapi(resolver: ApiGatewayResolver) -> dict[str, Any]:
    """Return the OpenAPI description of a resolver's routes, without the errors that Powertools would have answered."""
    described = resolver.get_openapi_schema(title="durex", version=__version__, description=_DESCRIPTION)
    document: dict[str, Any] = described.model_dump(mode="json", by_alias=True, exclude_none=True)
    for path in document["paths"].values():
        for operation in path.values():
            _correct_operation(operation)
            document["components"]["schemas"] |= _describe_query(operation)
    document["components"]["schemas"] = _merged(document["components"]["schemas"])
    renamed: dict[str, Any] = _renamed(document)
    return renamed


def _page(spec: str) -> str:
    script = (_ASSETS / "swagger-ui-bundle.min.js").read_text("utf-8")
    style = (_ASSETS / "swagger-ui.min.css").read_text("utf-8")
    page = generate_swagger_html(spec, script, style, swagger_base_url="", oauth2_config=None)
    return page.replace("<title>Swagger UI</title>", "<title>durex</title>", 1)


def _correct_operation(operation: dict[str, Any]) -> None:
    """Drop the answer that Powertools promises for refused values, and write headers as HTTP does."""
    operation["responses"] = {
        status: response
        for status, response in operation["responses"].items()
        if "HTTPValidationError" not in str(response)
    }
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "header":
            parameter["name"] = parameter["name"].title()


def _describe_query(operation: dict[str, Any]) -> dict[str, Any]:
    """Add the query parameters of a route, which durex reads itself; return the schemas they refer to."""
    model = _QUERIES.get(operation["operationId"])
    if model is None:
        return {}
    operation["parameters"], schemas = described(model)
    return schemas


def _merged(schemas: dict[str, Any]) -> dict[str, Any]:
    """Keep one schema of each type: pydantic's for input calls delays texts, the one for output numbers of seconds."""
    ours = {name: schema for name, schema in sorted(schemas.items()) if name not in _POWERTOOLS_ERRORS}
    return {_plain(name): schema for name, schema in ours.items()}


def _plain(name: str) -> str:
    return name.removesuffix("-Input").removesuffix("-Output")


def _renamed(value: Any) -> Any:
    """Let every reference name the schema that was kept."""
    match value:
        case dict():
            return {key: _renamed(item) for key, item in value.items()}
        case list():
            return [_renamed(item) for item in value]
        case str() if value.startswith("#/"):
            return _plain(value)
        case _:
            return value
