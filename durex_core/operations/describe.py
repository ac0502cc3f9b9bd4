"""Describe commands and statistics as JSON documents: what the HTTP API and the command line's `--json` answer."""

from datetime import datetime, timedelta
from typing import Any

from durex_core.backoff import Backoff
from durex_core.fields import adapter
from durex_core.model import ChildResult, Command, ErrorInfo, Recovery
from durex_core.queries import Page, QueueStats, Stats
from durex_core.rules.history import HistoryEvent, history_of


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
        "deadline_at": _moment(command.deadline_at),
        "expires_at": _moment(command.expires_at),
        "timeout_seconds": _seconds(command.timeout),
        "deadline_seconds": _seconds(command.extras.deadline),
        "start_within_seconds": _seconds(command.extras.start_within),
        "period_seconds": _seconds(command.extras.period),
        "backoff": adapter(Backoff).dump_python(command.backoff, mode="json") if command.backoff else None,
        "dead_letter": command.dead_letter,
        "metadata": dict(command.metadata),
        "sequence": list(command.sequence),
        "traceparent": command.traceparent,
        "progress": command.progress,
        "ending": command.ending.value if command.ending else None,
        "recovery": _recovery(command.recovery),
        "join_id": str(command.join_id) if command.join_id else None,
        "awaits": command.awaits,
        "children": [_child(child) for child in command.children],
        "history": [_event(event) for event in history_of(command)],
    }


def describe_page(page: Page) -> dict[str, Any]:
    """Return a page of commands as plain JSON values."""
    return {"commands": [describe(command) for command in page], "next_cursor": page.next_cursor}


def describe_stats(stats: Stats) -> dict[str, Any]:
    """Return statistics as plain JSON values."""
    return {
        "finished_within_seconds": stats.finished_within.total_seconds(),
        "ready": stats.ready,
        "states": {state.value: number for state, number in stats.states.items()},
        "queues": [_queue(queue) for queue in stats.queues],
    }


def _queue(queue: QueueStats) -> dict[str, Any]:
    return {
        "queue": queue.queue,
        "ready": queue.ready,
        "oldest_ready_age_seconds": _seconds(queue.oldest_ready_age),
        "live": {state.value: number for state, number in queue.live.items()},
        "finished": {state.value: number for state, number in queue.finished.items()},
    }


def _child(child: ChildResult) -> dict[str, Any]:
    return {
        "position": child.position,
        "id": str(child.id),
        "name": child.name,
        "state": child.state.value,
        "result": child.result,
        "error": _error(child.error),
    }


def _recovery(recovery: Recovery | None) -> dict[str, Any] | None:
    return {"enqueued": recovery.enqueued, "error": _error(recovery.error)} if recovery else None


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


def _seconds(delay: timedelta | None) -> float | None:
    return None if delay is None else delay.total_seconds()
