"""An example of a payload that a handler takes, made from the JSON schema of its annotation."""

import math
from typing import Any

from durex_core.handlers.handler import Handler

_BY_FORMAT = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT30S",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "019a2063-fc05-72e4-9bc1-56922de41a35",
    "decimal": "1.50",
}
_LONGEST_ARRAY = 20


class NoExample(Exception):
    """The schema asks for more than this module can make up, such as text of a pattern."""


def example_payload(handler: Handler) -> Any:
    """Return a payload that the handler takes.

    Raises:
        NoExample: none could be made up.
    """
    if handler.payload_type is None:
        return None
    try:
        schema = handler.payload_type.json_schema()
        payload = _example(schema, schema.get("$defs", {}))
        handler.check(payload)
    except Exception as error:  # validators are the application's own code, and pydantic has errors of many kinds
        raise NoExample(str(error)) from error
    return payload


def _example(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """Return the simplest value that a schema describes; where it gives one itself, that."""
    match schema:
        case {"examples": [given, *_]} | {"enum": [given, *_]} | {"const": given} | {"default": given}:
            return given
        case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
            return _example(first, definitions)
        case {"$ref": str(reference)}:
            return _example(definitions[reference.rpartition("/")[2]], definitions)
        case {"type": "object" | "array"}:
            return _container(schema, definitions)
        case _:
            return _scalar(schema)


def _container(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    if schema["type"] == "object":
        properties = schema.get("properties", {})
        return {name: _example(properties[name], definitions) for name in schema.get("required", [])}
    places = schema.get("prefixItems") or [schema.get("items", {})] * schema.get("minItems", 1)
    return [_example(item, definitions) for item in places[:_LONGEST_ARRAY]]


def _scalar(schema: dict[str, Any]) -> Any:
    match schema.get("type"):
        case "string":
            return _BY_FORMAT.get(schema.get("format", ""), _text(schema))
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return {}


def _text(schema: dict[str, Any]) -> str:
    return "example".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _number(schema: dict[str, Any]) -> Any:
    """Return the multiple of the step that lies next to the bound."""
    step = schema.get("multipleOf", 1)
    match schema:
        case {"exclusiveMinimum": least}:
            return (math.floor(least / step) + 1) * step
        case {"minimum": least}:
            return math.ceil(least / step) * step
        case {"exclusiveMaximum": most}:
            return min(step, (math.ceil(most / step) - 1) * step)
        case _:
            return min(step, math.floor(schema.get("maximum", step) / step) * step)
