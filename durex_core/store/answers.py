"""Answers: how a row of either database becomes a command again."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from durex_core.backoff import Backoff
from durex_core.fields import adapter
from durex_core.model import (
    NO_EXTRAS,
    ChildResult,
    Command,
    Compensation,
    Ending,
    ErrorInfo,
    Extras,
    PastAttempt,
    Recovery,
    State,
)
from durex_core.store.database import Answer
from durex_core.store.rows import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATES = {state.value: state for state in State}


def read_document(text: str | bytes) -> Any:
    """Read a JSON document that a database holds, which was checked on its way in."""
    try:
        return from_json(text)
    except ValueError:  # nested deeper than that reads: a payload in a document of ours
        return json.loads(text)


def as_command(names: tuple[str, ...]) -> Callable[[Answer], list[Command]]:
    """Make commands of rows of either database."""
    return lambda columns: commands(dict(zip(names, columns, strict=True)))


def commands(columns: Mapping[str, Sequence[Any]]) -> list[Command]:
    """Make commands of the columns that their rows have.

    What there is no column for is as if there were nothing in it: a live command has not ended, a finished one is not
    leased. It is done for every claimed command, and looks at nothing that none of them has.
    """
    given: list[Iterable[Any]] = []
    for column, read, default in _FIELDS:
        values = columns.get(column)
        if values is None or (read is not None and not any(values)):
            given.append(repeat(default))
        elif read is None:
            given.append(values)
        else:
            given.append([read(value) if value else default for value in values])
    return list(map(Command, *given))


def claimed(columns: Mapping[str, Sequence[Any]], *, worker: str, lease: timedelta) -> list[Command]:
    """Make commands of what a claim took, the most urgent first; what they have in common their rows do not tell."""
    if not any(columns["id"]):
        return []
    number = len(columns["id"])
    shared: dict[str, Sequence[Any]] = {
        "state": [State.STARTED] * number,
        "worker": [worker] * number,
        "lease_expires_at": [columns["started_at"][0] + lease] * number,
    }
    taken = commands({**columns, **shared})
    taken.sort(key=lambda command: (-command.priority, command.ready_at, command.id.int))
    return taken


def _error(row: Row | None) -> ErrorInfo | None:
    return ErrorInfo(row["type"], row["message"], row.get("traceback")) if row else None


def _past_attempt(past: Row) -> PastAttempt:
    return PastAttempt(
        attempt=past["attempt"],
        lease_number=past["lease_number"],
        outcome=past["outcome"],
        ended_at=_moment(past["ended_at"]),
        started_at=_utc(past.get("started_at")),
        worker=past.get("worker"),
        error=_error(past.get("error")),
        hook_error=_error(past.get("hook_error")),
        revived_at=_utc(past.get("revived_at")),
    )


def _child(child: Row) -> ChildResult:
    return ChildResult(
        position=child["position"],
        id=UUID(child["id"]),
        name=child["name"],
        state=State(child["state"]),
        result=child["result"],
        error=_error(child["error"]),
    )


def _recovery(row: Row | None) -> Recovery | None:
    return Recovery(row["enqueued"], _error(row["error"])) if row else None


def _extras(row: Mapping[str, Any]) -> Extras:
    return Extras(
        deadline=_delay(row.get("deadline_seconds")),
        start_within=_delay(row.get("start_within_seconds")),
        period=_delay(row.get("period_seconds")),
        metadata=row.get("metadata") or {},
        sequence=tuple(row.get("sequence") or ()),
        traceparent=row.get("traceparent"),
        join_position=row.get("join_position"),
        allow_failures=bool(row.get("allow_failures")),
    )


def _delay(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _utc(value: datetime | str | int | None) -> datetime | None:
    return None if value is None else _moment(value)


def _moment(value: datetime | str | int) -> datetime:
    """Read a moment: a column's datetime, or what stands inside a JSON history (ISO text, or SQLite's microseconds)."""
    match value:
        case datetime():
            return value.astimezone(UTC)
        case str():
            return datetime.fromisoformat(value).astimezone(UTC)
        case _:
            return _EPOCH + timedelta(microseconds=value)


_COLUMNS_OF = {"timeout": "timeout_seconds"}
_READERS: Mapping[str, tuple[Callable[[Any], Any], Any]] = {
    "state": (_STATES.__getitem__, None),
    "backoff": (lambda backoff: adapter(Backoff).validate_python(backoff), None),
    "timeout": (_delay, None),
    "tags": (tuple, ()),
    "history": (lambda history: tuple(map(_past_attempt, history)), ()),
    "error": (_error, None),
    "ending": (Ending, None),
    "extras": (_extras, NO_EXTRAS),
    "children": (lambda children: tuple(map(_child, children)), ()),
    "compensations": (lambda kept: adapter(tuple[Compensation, ...]).validate_python(kept), ()),
    "recovery": (_recovery, None),
}
_DEFAULTS = {"awaits": 0}
_FIELDS = [
    (_COLUMNS_OF.get(field.name, field.name), *_READERS.get(field.name, (None, _DEFAULTS.get(field.name))))
    for field in fields(Command)
]
