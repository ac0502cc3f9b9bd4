"""Answers: how a row of either database becomes a command again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import itemgetter
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
from durex_core.store.rows import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATES = {state.value: state for state in State}
_COLUMNS_OF = {"timeout": "timeout_seconds"}
_COMMAND_COLUMNS = [_COLUMNS_OF.get(field.name, field.name) for field in fields(Command)]


def read_document(text: str | bytes) -> Any:
    """Read a JSON document that a database holds, which was checked on its way in."""
    try:
        return from_json(text)
    except ValueError:  # nested deeper than that reads: a payload in a document of ours
        return json.loads(text)


@cache
def as_command(columns: tuple[str, ...]) -> Callable[[Sequence[Any]], Command]:
    """Make commands of rows of either database."""
    # What a row has no column for is None: a live command has not ended, a finished one is not leased.
    places = [columns.index(column) if column in columns else len(columns) for column in _COMMAND_COLUMNS]
    in_order = itemgetter(*places)

    def command(values: Sequence[Any]) -> Command:
        return _command(*in_order((*values, None)))

    return command


def as_claimed(columns: tuple[str, ...]) -> Callable[[Sequence[Any]], tuple[Command | None, Any, Any]]:
    """Make of each row its command, if it has one, and what stands in its last two columns."""
    if "id" not in columns:
        return lambda values: (None, *values[-2:])
    make, place = as_command(columns), columns.index("id")
    return lambda values: (make(values) if values[place] else None, values[-2], values[-1])


def _command(  # noqa: PLR0917  the columns of a command, in the order of its fields
    id: UUID,  # noqa: A002
    name: str,
    queue: str,
    state: str,
    payload: Any,
    priority: int,
    attempt: int,
    retries: int,
    run: int,
    backoff: Any,
    timeout_seconds: float | None,
    dead_letter: Any,
    tags: Any,
    correlation_id: str | None,
    parent_id: UUID | None,
    unique_key: str | None,
    idempotency_key: str | None,
    lease_number: int,
    lease_expires_at: datetime | None,
    worker: str | None,
    history: Any,
    created_at: datetime,
    ready_at: datetime,
    started_at: datetime | None,
    finished_at: datetime | None,
    result: Any,
    error: Any,
    deadline_at: datetime | None,
    expires_at: datetime | None,
    ending: str | None,
    extras: Any,
    progress: Any,
    join_id: UUID | None,
    awaits: int | None,
    children: Any,
    compensations: Any,
    recovery: Any,
) -> Command:
    """Build a command. It is done for every claimed one, and looks at nothing that is not there."""
    return Command(
        id,
        name,
        queue,
        _STATES[state],
        payload,
        priority,
        attempt,
        retries,
        run,
        adapter(Backoff).validate_python(backoff) if backoff else None,
        None if timeout_seconds is None else timedelta(seconds=timeout_seconds),
        bool(dead_letter),
        tuple(tags),
        correlation_id,
        parent_id,
        unique_key,
        idempotency_key,
        lease_number,
        lease_expires_at,
        worker,
        tuple(_past_attempt(past) for past in history) if history else (),
        created_at,
        ready_at,
        started_at,
        finished_at,
        result,
        _error(error),
        deadline_at,
        expires_at,
        Ending(ending) if ending else None,
        _extras(extras) if extras else NO_EXTRAS,
        progress,
        join_id,
        awaits or 0,
        tuple(_child(child) for child in children) if children else (),
        adapter(tuple[Compensation, ...]).validate_python(compensations) if compensations else (),
        _recovery(recovery),
    )


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
