"""Rows: how values travel into a statement, and how a row becomes a command again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
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
    NewCommand,
    PastAttempt,
    Recovery,
    State,
)
from durex_core.results import UNCHANGED
from durex_core.rules.lifecycle import first_state
from durex_core.rules.outcomes import Settlement

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STATES = {state.value: state for state in State}
_COLUMNS_OF = {"timeout": "timeout_seconds"}
_DOCUMENTS = ("payload", "backoff", "tags", "extras", "compensations")
_COMMAND_COLUMNS = [_COLUMNS_OF.get(field.name, field.name) for field in fields(Command)]

Row = dict[str, Any]


def document(value: Sequence[Any] | Row) -> str:
    """Return the one JSON document as which many-row parameters travel, the same on both databases."""
    return _encode(value)


def read_document(text: str | bytes) -> Any:
    """Read a JSON document that a database holds, which was checked on its way in."""
    try:
        return from_json(text)
    except ValueError:  # nested deeper than that reads: a payload in a document of ours
        return json.loads(text)


def _plain(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no place in a row")


# To make an encoder takes longer than to encode a small document.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def new_row(command: NewCommand) -> Row:
    """Return a new command as `commands/enqueue` takes it."""
    return {
        "id": command.id,
        "name": command.name,
        "queue": command.queue,
        "state": first_state(command),
        "priority": command.priority,
        "delay_seconds": command.delay.total_seconds(),
        "run_at": to_microseconds(command.run_at) if command.run_at else None,
        "retries": command.retries,
        "timeout_seconds": command.timeout.total_seconds() if command.timeout else None,
        "dead_letter": command.dead_letter,
        "parent_id": command.parent_id,
        "correlation_id": command.correlation_id,
        "unique_key": command.unique_key,
        "idempotency_key": command.idempotency_key,
        "payload": command.payload,
        "backoff": command.backoff,
        "tags": command.tags,
        "deadline": to_microseconds(command.deadline_at) if command.deadline_at else None,
        "extras": None if command.extras is NO_EXTRAS else _extras_row(command.extras),
        "join_id": command.join_id,
        "awaits": command.awaits,
        "compensations": _compensations_row(command.compensations),
    }


def one_new_row(command: NewCommand) -> Row:
    """Return a new command as `commands/enqueue_one` takes it: what is a document within a row is one by itself."""
    row = new_row(command)
    row["state"] = row["state"].value
    for column in _DOCUMENTS:
        if row[column] is not None:
            row[column] = document(row[column]) if row[column] != () else "[]"
    return row


def cancelled_row(command: NewCommand, error: ErrorInfo) -> Row:
    """Return a new command that is not to run as `finished/file` takes it."""
    return new_row(command) | {
        "state": State.CANCELLED,
        "retention": State.CANCELLED.retention,
        "error": _error_row(error),
    }


def finish_row(settlement: Settlement) -> Row:
    """Return a settlement as `commands/finish` takes it."""
    row = {
        "id": str(settlement.command.id),
        "lease_number": settlement.command.lease_number,
        "state": settlement.state,
        "retention": settlement.state.retention,
        "result": settlement.result,
    }
    if settlement.error:
        row["error"] = _error_row(settlement.error)
    if settlement.recovery:
        row["recovery"] = asdict(settlement.recovery)
    return row


def repeat_row(settlement: Settlement) -> Row:
    """Return a settlement as `commands/repeat` takes it."""
    has_payload = settlement.next_payload is not UNCHANGED
    return fence_row(settlement.command) | {
        "state": settlement.state,
        "delay_seconds": settlement.delay.total_seconds(),
        "result": settlement.result,
        "payload": settlement.next_payload if has_payload else None,
        "has_payload": has_payload,
    }


def put_back_row(settlement: Settlement) -> Row:
    """Return a settlement as `commands/put_back` takes it."""
    return fence_row(settlement.command) | {
        "state": settlement.state,
        "delay_seconds": settlement.delay.total_seconds(),
        "given_back": int(settlement.gives_back),
        "outcome": settlement.outcome,
        "error": _error_row(settlement.error),
        "ending": settlement.ending,
        "hook_error": _error_row(settlement.hook_error),
    }


def note_row(command: Command, progress: Any, compensations: Sequence[Compensation]) -> Row:
    """Return what an attempt tells of itself as `commands/note` takes it."""
    return fence_row(command) | {"progress": progress, "compensations": _compensations_row(compensations)}


def arrival_row(command: Command, state: State, result: Any, error: ErrorInfo | None) -> Row:
    """Return how a command ended that another one waits for, as `joins/arrive` takes it."""
    return {
        "command_id": command.join_id,
        "position": command.extras.join_position,
        "child_id": command.id,
        "name": command.name,
        "state": state,
        "result": result,
        "error": _error_row(error),
    }


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


def to_microseconds(moment: datetime) -> int:
    """Return a moment as it travels in documents: whole microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int) -> datetime:
    """Return the moment that travelled as so many microseconds since 1970-01-01 UTC."""
    return _EPOCH + number * _MICROSECOND


def fence_row(command: Command) -> Row:
    """Return what an attempt names in each of its writes."""
    return {"id": command.id, "lease_number": command.lease_number}


def _error_row(error: ErrorInfo | None) -> Row | None:
    return asdict(error) if error else None


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


def _extras_row(extras: Extras) -> Row:
    """Return the extras that are set."""
    row = {
        "deadline_seconds": _seconds(extras.deadline),
        "start_within_seconds": _seconds(extras.start_within),
        "period_seconds": _seconds(extras.period),
        "metadata": extras.metadata or None,
        "sequence": extras.sequence or None,
        "traceparent": extras.traceparent,
        "join_position": extras.join_position,
        "allow_failures": extras.allow_failures or None,
    }
    return {name: value for name, value in row.items() if value is not None}


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


def _compensations_row(compensations: Sequence[Compensation]) -> Any:
    return adapter(tuple[Compensation, ...]).dump_python(tuple(compensations), mode="json") if compensations else None


def _seconds(delay: timedelta | None) -> float | None:
    return None if delay is None else delay.total_seconds()


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
