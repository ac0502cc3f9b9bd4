"""Values as SQLite keeps them: moments as microseconds, ids and documents as text. A column's name tells its type."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from durex_core.store import rows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_JSON_COLUMNS = frozenset({"backoff", "children", "compensations", "error", "extras", "history", "payload", "progress"})
_JSON_COLUMNS |= {"recovery", "result", "tags"}
_UUID_COLUMNS = frozenset({"id", "parent_id", "command_id", "join_id"})


def to_sqlite(value: Any) -> Any:
    """Return a parameter as SQLite takes it."""
    match value:
        case list() | dict():
            return rows.document(value)
        case datetime():
            return rows.to_microseconds(value)
        case UUID():
            return str(value)
        case _:
            return value


def from_sqlite(column: str, value: Any) -> Any:
    """Return a value as its column means it."""
    if value is None:
        return None
    if column in _JSON_COLUMNS:
        return json.loads(value)
    if column in _UUID_COLUMNS:
        return UUID(value)
    if column.endswith("_at"):
        return _EPOCH + value * _MICROSECOND
    return value
