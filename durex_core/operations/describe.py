"""Describe a command as a JSON document: what `GET /v1/commands/{id}` and `durex show --json` answer."""

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from durex_core.backoff import Backoff
from durex_core.model import Command, ErrorInfo
from durex_core.rules.history import HistoryEvent, history_of

_BACKOFF: TypeAdapter[Backoff] = TypeAdapter(Backoff)


def describe(command: Command) -> dict[str, Any]:
    """Return a command and its history as plain JSON values; moments are ISO 8601 in UTC."""
    return {
        "id": str(command.id),
        "name": command.name,
        "queue": command.queue,
        "state": command.state.value,
        "payload": command.payload,
        "result": command.result,
        "error": _error(command.error),
        "attempt": command.attempt,
        "retries": command.retries,
        "priority": command.priority,
        "run": command.run,
        "tags": list(command.tags),
        "correlation_id": command.correlation_id,
        "parent_id": str(command.parent_id) if command.parent_id else None,
        "unique_key": command.unique_key,
        "idempotency_key": command.idempotency_key,
        "created_at": _moment(command.created_at),
        "ready_at": _moment(command.ready_at),
        "started_at": _moment(command.started_at),
        "finished_at": _moment(command.finished_at),
        "timeout_seconds": command.timeout.total_seconds() if command.timeout else None,
        "backoff": _BACKOFF.dump_python(command.backoff, mode="json") if command.backoff else None,
        "dead_letter": command.dead_letter,
        "history": [_event(event) for event in history_of(command)],
    }


def _event(event: HistoryEvent) -> dict[str, Any]:
    return {
        "event": event.event,
        "at": _moment(event.at),
        "attempt": event.attempt,
        "duration_seconds": event.duration_seconds,
        "error": _error(event.error),
        "message": event.message,
    }


def _error(error: ErrorInfo | None) -> dict[str, Any] | None:
    return {"type": error.type, "message": error.message, "traceback": error.traceback} if error else None


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else None
