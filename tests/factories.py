"""Values for tests, with defaults that say nothing and keywords for what a test is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from durex_core.ids import new_id
from durex_core.model import Command, Compensation, ErrorInfo, Extras, NewCommand, PastAttempt, State

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
QUEUE = "parcels"


def new_command(**overrides: Any) -> NewCommand:
    """Return a command that is ready for the store; its queue is its name, unless told otherwise."""
    name = overrides.pop("name", overrides.get("queue", QUEUE))
    return NewCommand(**{"id": new_id(), "name": name, "queue": name, "payload": None} | overrides)


def new_join(
    number: int, *, queue: str = QUEUE, allow_failures: bool = False, then: dict[str, Any] | None = None, **each: Any
) -> tuple[NewCommand, ...]:
    """Return a command that waits for so many others, and after it these, in the order of their positions.

    They are of the queue `children`; `then` has options for the one that waits, `each` for the others.
    """
    options = then or {}
    extras = options.pop("extras", Extras())
    waiting = new_command(queue=queue, awaits=number, extras=replace(extras, allow_failures=allow_failures), **options)
    children = (
        new_command(**{"queue": "children"} | each, join_id=waiting.id, extras=Extras(join_position=position))
        for position in range(number)
    )
    return waiting, *children


def compensation(key: str = "step", **command: Any) -> Compensation:
    """Return a command that undoes a step."""
    return Compensation(key, new_command(**{"queue": "undo"} | command))


def claimed_command(**overrides: Any) -> Command:
    """Return a command as a claim hands it over: the first attempt, under its first lease."""
    defaults: dict[str, Any] = {
        "id": new_id(),
        "name": QUEUE,
        "queue": QUEUE,
        "state": State.STARTED,
        "payload": None,
        "priority": 0,
        "attempt": 1,
        "retries": 0,
        "run": 1,
        "backoff": None,
        "timeout": None,
        "dead_letter": True,
        "tags": (),
        "correlation_id": None,
        "parent_id": None,
        "unique_key": None,
        "idempotency_key": None,
        "lease_number": 1,
        "lease_expires_at": START + LEASE,
        "worker": "worker",
        "history": (),
        "created_at": START,
        "ready_at": START,
        "started_at": START,
    }
    return Command(**defaults | overrides)


def past_attempt(**overrides: Any) -> PastAttempt:
    """Return a line of history: a first attempt that failed after a second."""
    defaults: dict[str, Any] = {
        "attempt": 1,
        "lease_number": 1,
        "outcome": "failed",
        "started_at": START,
        "ended_at": START + timedelta(seconds=1),
        "worker": "worker",
        "error": None,
    }
    return PastAttempt(**defaults | overrides)


def error_info(**overrides: Any) -> ErrorInfo:
    """Return why an attempt failed."""
    return ErrorInfo(**{"type": "ValueError", "message": "no such parcel", "traceback": "Traceback …"} | overrides)
