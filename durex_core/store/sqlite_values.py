"""Values as SQLite keeps them: moments as microseconds, ids and documents as text. A column's name tells its type."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from durex_core.store import answers, rows
from durex_core.store.database import Answer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_JSON_COLUMNS = frozenset({"backoff", "children", "compensations", "error", "extras", "history", "payload", "progress"})
_JSON_COLUMNS |= {"recovery", "result", "tags"}
_BOOLEAN_COLUMNS = frozenset({"dead_letter", "is_more"})
_UUID_COLUMNS = frozenset({"id", "parent_id", "command_id", "join_id"})


def to_sqlite(value: Any) -> Any:
    """Return a parameter as SQLite takes it."""
    match value:
        case rows.Columns():
            return rows.document(value.by_row())
        case list() | dict():
            return rows.document(value)
        case datetime():
            return rows.to_microseconds(value)
        case UUID():
            return str(value)
        case _:
            return value


def read_columns(names: Sequence[str], columns: Answer) -> list[Sequence[Any]]:
    """Read the columns of an answer as their names mean them."""
    return [
        values if read is None else [None if value is None else read(value) for value in values]
        for read, values in zip(map(_reading, names), columns, strict=True)
    ]


def _reading(column: str) -> Callable[[Any], Any] | None:
    if column in _JSON_COLUMNS:
        return answers.read_document
    if column in _UUID_COLUMNS:
        return UUID
    if column in _BOOLEAN_COLUMNS:
        return bool
    return _moment if column.endswith("_at") else None


def _moment(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
