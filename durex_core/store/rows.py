"""Rows: how values travel into a statement. `durex_core.store.answers` reads what comes back."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from durex_core.fields import adapter
from durex_core.model import (
    NO_EXTRAS,
    Command,
    Compensation,
    ErrorInfo,
    Extras,
    NewCommand,
    State,
)
from durex_core.results import UNCHANGED
from durex_core.rules.lifecycle import first_state
from durex_core.rules.outcomes import Settlement

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DOCUMENTS = ("payload", "backoff", "tags", "extras", "compensations")

Row = dict[str, Any]


class Columns(dict[str, list[Any]]):
    """Many rows by their columns, which a statement names `:rows.column` on Postgres; a document of rows on SQLite."""

    __slots__ = ()

    def by_row(self) -> list[Row]:
        """Return them row by row, each with what it has."""
        return [
            {column: value for column, value in zip(self, row, strict=True) if value is not None}
            for row in zip(*self.values(), strict=True)
        ]


def document(value: Sequence[Any] | Row) -> str:
    """Return the one JSON document as which many-row parameters travel, the same on both databases."""
    return _encode(value)


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


def ended_rows(settlements: Sequence[Settlement]) -> Columns:
    """Return settlements as `commands/finish` takes them."""
    return Columns(
        id=[settlement.command.id for settlement in settlements],
        lease_number=[settlement.command.lease_number for settlement in settlements],
        state=[settlement.state for settlement in settlements],
        result=[settlement.result for settlement in settlements],
        error=[_error_row(settlement.error) for settlement in settlements],
        recovery=[settlement.recovery and asdict(settlement.recovery) for settlement in settlements],
    )


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


def _compensations_row(compensations: Sequence[Compensation]) -> Any:
    return adapter(tuple[Compensation, ...]).dump_python(tuple(compensations), mode="json") if compensations else None


def _seconds(delay: timedelta | None) -> float | None:
    return None if delay is None else delay.total_seconds()
