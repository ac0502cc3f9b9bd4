"""The history of a command, told as events from what its row holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from durex_core.model import Command, ErrorInfo, PastAttempt


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One thing that happened to a command."""

    event: str
    at: datetime
    attempt: int
    error: ErrorInfo | None = None
    duration_seconds: float | None = None
    message: str | None = None


def history_of(command: Command) -> tuple[HistoryEvent, ...]:
    """Return the command's events in order: created, then each attempt's start and end."""
    return tuple(_events(command))


def _events(command: Command) -> Iterator[HistoryEvent]:
    yield HistoryEvent("created", command.created_at, 0)
    for past in command.history:
        yield from _past_events(past)
    if command.started_at is not None and not command.is_overdrawn:
        yield HistoryEvent("started", command.started_at, command.attempt, message=command.worker)
    if command.finished_at is not None:
        yield _ending(command, command.finished_at)


def _past_events(past: PastAttempt) -> Iterator[HistoryEvent]:
    if past.started_at is not None:
        yield HistoryEvent("started", past.started_at, past.attempt, message=past.worker)
    yield HistoryEvent(past.outcome, past.ended_at, past.attempt, past.error, _seconds(past.started_at, past.ended_at))


def _ending(command: Command, finished_at: datetime) -> HistoryEvent:
    return HistoryEvent(
        command.state.value,
        finished_at,
        command.attempt,
        command.error,
        _seconds(None if command.is_overdrawn else command.started_at, finished_at),
    )


def _seconds(start: datetime | None, end: datetime) -> float | None:
    return None if start is None else (end - start).total_seconds()
