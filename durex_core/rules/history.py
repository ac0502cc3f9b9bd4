"""The history of a command, told as events from what its row holds.

The events are those of the Go library durex: created, started, completed, failed, retrying, expired, cancelled,
repeating and recovered. Two are our own: `released`, a claim given back by a worker that stopped, and `hook_failed`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from durex_core.model import CRASHED, HOOK_FAILED, VANISHED, Command, ErrorInfo, PastAttempt, State
from durex_core.records import record

_WORKER_VANISHED = ErrorInfo("Crashed", "the worker vanished")

# Whatever is not named here ended in an error.
_EVENTS = {
    "released": "released",
    VANISHED: "released",
    "repeating": "repeating",
    "retrying": "retrying",
    "handler_missing": "retrying",
    State.CANCELLED.value: "cancelled",
    State.EXPIRED.value: "expired",
}

# After these the next attempt may have the same number.
_NOT_COUNTED = {"released", VANISHED, "handler_missing", "repeating"}


@record
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
    for position, past in enumerate(command.history):
        yield from _past_events(past, _behind(command.history[:position], past.attempt))
    if command.finished_at is None:
        if command.started_at is not None and not _is_ending(command):
            yield HistoryEvent("started", command.started_at, command.attempt, message=command.worker)
    else:
        yield from _last_events(command, command.finished_at)


def _past_events(past: PastAttempt, behind: Sequence[PastAttempt]) -> Iterator[HistoryEvent]:
    """Yield what a line of history tells; `behind` is what its attempt had behind it."""
    is_ending = past.attempt == 0 or bool(behind)
    if is_ending and past.outcome == CRASHED:
        yield HistoryEvent("hook_failed", past.ended_at, past.attempt, _WORKER_VANISHED)
    elif past.outcome != HOOK_FAILED:
        if past.started_at is not None and not is_ending:
            yield HistoryEvent("started", past.started_at, past.attempt, message=past.worker)
        is_told_later = past.hook_error is not None and past.outcome == State.EXPIRED
        if not is_told_later and (past.outcome in _EVENTS or not _is_told(behind)):
            yield _past_end(past)
    if past.hook_error is not None:
        yield HistoryEvent("hook_failed", past.ended_at, past.attempt, past.hook_error)
    if past.revived_at is not None:
        yield HistoryEvent("retrying", past.revived_at, past.attempt, message="with a fresh budget")


def _behind(history: Sequence[PastAttempt], attempt: int) -> Sequence[PastAttempt]:
    """Return the newest lines of the attempt of this number: its end, and what became of its hook."""
    lines: list[PastAttempt] = []
    for past in reversed(history):
        if past.attempt > attempt and past.outcome in _NOT_COUNTED:
            continue
        if past.attempt != attempt or past.outcome in _NOT_COUNTED or past.revived_at is not None:
            break
        lines.insert(0, past)
    return lines


def _is_told(behind: Sequence[PastAttempt]) -> bool:
    """Whether the failure with which an attempt ended its command stands in the history already."""
    return bool(behind) and behind[0].attempt > 0 and behind[0].outcome not in _EVENTS


def _past_end(past: PastAttempt) -> HistoryEvent:
    event = _EVENTS.get(past.outcome, "failed")
    error = _WORKER_VANISHED if past.outcome in (CRASHED, VANISHED) and past.error is None else past.error
    return HistoryEvent(event, past.ended_at, past.attempt, error, _seconds(past.started_at, past.ended_at))


def _last_events(command: Command, finished_at: datetime) -> Iterator[HistoryEvent]:
    """Yield the start and the end of the last attempt, and what was done about its failure."""
    started_at = None if _is_ending(command) else command.started_at
    took = _seconds(started_at, finished_at)
    if started_at is not None:
        yield HistoryEvent("started", started_at, command.attempt, message=command.worker)
    event = "failed" if command.state in (State.DEAD_LETTER, State.FAILED) else command.state.value
    if event != "failed" or not _is_told(_behind(command.history, command.attempt)):
        yield HistoryEvent(event, finished_at, command.attempt, command.error, took)
    if command.recovery is not None or command.state is State.DEAD_LETTER:
        yield HistoryEvent("recovered", finished_at, command.attempt, message=_recovery(command))


def _recovery(command: Command) -> str:
    """Say what came of a failure."""
    told = []
    if command.recovery is not None:
        error = command.recovery.error
        told.append(
            f"its hook was given up: {error.type}: {error.message}"
            if error
            else f"its hook enqueued {_commands(command.recovery.enqueued)}"
        )
    if command.state is State.DEAD_LETTER:
        told.append("moved to the dead letter queue")
    return "; ".join(told)


def _commands(count: int) -> str:
    return f"{count} command{'' if count == 1 else 's'}"


def _is_ending(command: Command) -> bool:
    """Whether the last claim was for the command's ending alone, so that no attempt started with it."""
    is_attempt = command.attempt > 0 and not _behind(command.history, command.attempt)
    return not is_attempt or command.is_overdue or command.ending is not None


def _seconds(start: datetime | None, end: datetime) -> float | None:
    return None if start is None else (end - start).total_seconds()
