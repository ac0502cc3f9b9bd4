"""Values inside JSON documents, for SQLite: what Postgres does with `#>` and the equality of `jsonb`."""

import json
from decimal import Decimal
from functools import lru_cache
from typing import Any

_NOTHING = object()


def holds(document: str | None, wanted: str) -> bool:
    """Whether a JSON document holds values at paths; `wanted` is a JSON list of `{"path": […], "value": …}`."""
    if document is None:
        return False
    value = _parsed(document)
    return all(_same(_at(value, item["path"]), item["value"]) for item in _wanted(wanted))


@lru_cache(maxsize=16)
def _wanted(text: str) -> Any:
    return _parsed(text)


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _at(value: Any, path: list[str]) -> Any:
    """Return what stands at a path, or something that is equal to no JSON value."""
    for part in path:
        match value:
            case dict() if part in value:
                value = value[part]
            case list() if part.isascii() and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            case _:
                return _NOTHING
    return value


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: true is no 1, but 1 is 1.0."""
    match one, other:
        case (bool(), _) | (_, bool()):
            return one is other
        case dict(), dict():
            return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(_same, one, other))
        case _:
            return bool(one == other)
