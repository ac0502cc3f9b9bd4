"""Rows: how values travel into a statement, and how a row becomes a command again."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from durex_core.backoff import Backoff
from durex_core.model import Command, ErrorInfo, NewCommand, PastAttempt, Retention, State
from durex_core.rules.lifecycle import Settlement, starting_state

_BACKOFF: TypeAdapter[Backoff] = TypeAdapter(Backoff)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


def document(value: Sequence[Any] | Row) -> str:
    """Return the one JSON document as which many-row parameters travel, the same on both databases."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no place in a row")


def new_row(command: NewCommand) -> Row:
    """Return a new command as `commands/enqueue` takes it."""
    return {
        "id": command.id,
        "name": command.name,
        "queue": command.queue,
        "state": starting_state(command.delay),
        "priority": command.priority,
        "delay_seconds": command.delay.total_seconds(),
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
    }


def finish_row(settlement: Settlement) -> Row:
    """Return a settlement as `commands/finish` takes it."""
    return _fence(settlement.command) | {
        "state": settlement.state,
        "retention": Retention.of(settlement.state),
        "result": settlement.result,
        "error": _error_row(settlement.error),
    }


def put_back_row(settlement: Settlement) -> Row:
    """Return a settlement as `commands/put_back` takes it."""
    return _fence(settlement.command) | {
        "state": settlement.state,
        "delay_seconds": settlement.delay.total_seconds(),
        "given_back": int(settlement.gives_back),
        "outcome": settlement.outcome,
        "error": _error_row(settlement.error),
    }


def to_command(row: Row) -> Command:
    """Build a command from a row of either database."""
    return Command(
        id=row["id"],
        name=row["name"],
        queue=row["queue"],
        state=State(row["state"]),
        payload=row["payload"],
        priority=row["priority"],
        attempt=row["attempt"],
        retries=row["retries"],
        run=row["run"],
        backoff=_BACKOFF.validate_python(row["backoff"]) if row["backoff"] else None,
        timeout=None if row["timeout_seconds"] is None else timedelta(seconds=row["timeout_seconds"]),
        dead_letter=bool(row["dead_letter"]),
        tags=tuple(row["tags"]),
        correlation_id=row["correlation_id"],
        parent_id=row["parent_id"],
        unique_key=row["unique_key"],
        idempotency_key=row["idempotency_key"],
        lease_number=row["lease_number"],
        lease_expires_at=_utc(row["lease_expires_at"]),
        worker=row["worker"],
        history=tuple(_past_attempt(past) for past in row["history"]),
        created_at=_moment(row["created_at"]),
        ready_at=_moment(row["ready_at"]),
        started_at=_utc(row["started_at"]),
        finished_at=_utc(row.get("finished_at")),
        result=row.get("result"),
        error=_error(row.get("error")),
    )


def _fence(command: Command) -> Row:
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
    )


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
