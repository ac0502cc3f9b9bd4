"""Values as SQLite keeps them: moments as microseconds, ids and documents as text. A column's name tells its type."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from durex_core.store import answers, rows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_JSON_COLUMNS = frozenset({"backoff", "children", "compensations", "error", "extras", "history", "payload", "progress"})
_JSON_COLUMNS |= {"recovery", "result", "tags"}
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


@cache
def reader(columns: tuple[str, ...]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """Return what reads the values of a row as its columns mean them."""
    reads = [(place, read) for place, column in enumerate(columns) if (read := _reading(column)) is not None]

    def row(values: Sequence[Any]) -> tuple[Any, ...]:
        read_values = list(values)
        for place, read in reads:
            if read_values[place] is not None:
                read_values[place] = read(read_values[place])
        return tuple(read_values)

    return row


def _reading(column: str) -> Callable[[Any], Any] | None:
    if column in _JSON_COLUMNS:
        return answers.read_document
    if column in _UUID_COLUMNS:
        return UUID
    return _moment if column.endswith("_at") else None


def _moment(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
