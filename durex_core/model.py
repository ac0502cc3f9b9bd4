"""The words of durex as values: what the store holds, and what a reader gets back."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from durex_core.backoff import Backoff
from durex_core.records import record

MAX_CHILDREN = 1000
DEFAULT_PERIOD = timedelta(minutes=1)


class State(StrEnum):
    """Where a command stands; the last five are terminal."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    STARTED = "started"
    WAITING = "waiting"
    REPEATING = "repeating"
    PAUSED = "paused"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    DEAD_LETTER = "dead_letter"
    FAILED = "failed"

    @cached_property
    def retention(self) -> "Retention":
        """How long a command that ended in this state is kept."""
        return Retention.COMPLETED if self is State.COMPLETED else Retention.ATTENTION

    @cached_property
    def is_terminal(self) -> bool:
        """Whether a command in this state is finished for good."""
        return self in _TERMINAL


_TERMINAL = frozenset({State.COMPLETED, State.EXPIRED, State.CANCELLED, State.DEAD_LETTER, State.FAILED})


class Retention(StrEnum):
    """How long a finished command is kept: by whether a person may still want to act on it."""

    COMPLETED = "completed"
    ATTENTION = "attention"


@record
class RetentionPolicy:
    """How long finished commands are kept, by class: `completed` ones, and those that may need `attention`."""

    completed: timedelta = timedelta(days=7)
    attention: timedelta = timedelta(days=90)

    def keep(self, retention: Retention) -> timedelta:
        """Return the time for a class."""
        return self.completed if retention is Retention.COMPLETED else self.attention


@record
class Enqueued:
    """The answer to enqueue: the command's id, and whether this call created it."""

    id: UUID
    created: bool


@record
class Accepted:
    """The answer while the database is away: the command is kept under this id, and stored once the database is back.

    If it then turns out to be there already, by one of its keys, the id leads to a cancelled command that names it.
    """

    id: UUID


@record
class Extras:
    """What few commands have: kept together, so that the many others need not carry it.

    `join_position` and `allow_failures` tell of the join that a command reports to, and of the one that it waits for.
    """

    deadline: timedelta | None = None
    start_within: timedelta | None = None
    period: timedelta | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sequence: tuple[str, ...] = ()
    traceparent: str | None = None
    join_position: int | None = None
    allow_failures: bool = False


NO_EXTRAS = Extras()


@record
class NewCommand:
    """A spec that was checked and completed with its handler's defaults, ready for the store.

    With `awaits` it is stored as `waiting`, until so many commands whose `join_id` names it have ended.
    """

    id: UUID
    name: str
    queue: str
    payload: Any
    delay: timedelta = timedelta(0)
    run_at: datetime | None = None
    priority: int = 0
    retries: int = 0
    backoff: dict[str, Any] | None = None
    timeout: timedelta | None = None
    deadline_at: datetime | None = None
    dead_letter: bool = True
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    parent_id: UUID | None = None
    unique_key: str | None = None
    idempotency_key: str | None = None
    extras: Extras = NO_EXTRAS
    join_id: UUID | None = None
    awaits: int = 0
    compensations: "tuple[Compensation, ...]" = ()

    @property
    def may_expire(self) -> bool:
        """Whether there is a time by which it must have started, or ended."""
        return self.deadline_at is not None or self.extras.deadline is not None or self.extras.start_within is not None


@record
class Compensation:
    """A command that undoes a step; `key` tells the step from others of its command."""

    key: str
    command: NewCommand


@record
class ErrorInfo:
    """Why an attempt failed."""

    type: str
    message: str
    traceback: str | None = None


@record
class ChildResult:
    """How a command ended that another one waited for; `position` is its place in `SpawnThen`, from 0."""

    position: int
    id: UUID
    name: str
    state: State
    result: Any = None
    error: ErrorInfo | None = None


CRASHED = "crashed"
"""The outcome of an attempt whose lease ran out; the statements that claim and rescue write this word."""

VANISHED = "vanished"
"""The same, for the first crash of a command that was claimed ahead: it may never have begun, and is not counted."""

DUPLICATE = "Duplicate"
"""The type of error of a command that was accepted, and is there already under another id."""

HOOK_FAILED = "hook_failed"
"""The outcome of a claim for a command's ending alone, in which its hook failed."""


@record
class PastAttempt:
    """An attempt that ended without ending its command: `outcome` says how.

    `hook_error` says why the hook of the command's ending failed, which is then to be tried again. `revived_at` is when
    the command, which had ended with this attempt, was put back to run again.
    """

    attempt: int
    lease_number: int
    outcome: str
    ended_at: datetime
    started_at: datetime | None = None
    worker: str | None = None
    error: ErrorInfo | None = None
    hook_error: ErrorInfo | None = None
    revived_at: datetime | None = None


class Ending(StrEnum):
    """What a command is left to do whose attempts are over: to end in this way, after its hook has run."""

    FAILED = "failed"
    EXPIRED = "expired"


@record
class Recovery:
    """What came of the hook of a command's ending: so many commands enqueued, or why it was given up."""

    enqueued: int = 0
    error: ErrorInfo | None = None


@record
class Command:
    """A command as the store holds it.

    `attempt`, `started_at` and `worker` tell of the current attempt; `history` holds the earlier ones, the newest 50
    of them. `lease_number` rises at every claim and is never reset. `children` is what the command waited for.
    """

    id: UUID
    name: str
    queue: str
    state: State
    payload: Any
    priority: int
    attempt: int
    retries: int
    run: int
    backoff: Backoff | None
    timeout: timedelta | None
    dead_letter: bool
    tags: tuple[str, ...]
    correlation_id: str | None
    parent_id: UUID | None
    unique_key: str | None
    idempotency_key: str | None
    lease_number: int
    lease_expires_at: datetime | None
    worker: str | None
    history: tuple[PastAttempt, ...]
    created_at: datetime
    ready_at: datetime
    started_at: datetime | None
    finished_at: datetime | None = None
    result: Any = None
    error: ErrorInfo | None = None
    deadline_at: datetime | None = None
    expires_at: datetime | None = None
    ending: Ending | None = None
    extras: Extras = NO_EXTRAS
    progress: Any = None
    join_id: UUID | None = None
    awaits: int = 0
    children: tuple[ChildResult, ...] = ()
    compensations: tuple[Compensation, ...] = ()
    recovery: Recovery | None = None

    @property
    def is_overdrawn(self) -> bool:
        """Whether the last attempt of the budget crashed: the command was claimed for its ending alone."""
        return (
            bool(self.history)
            and self.attempt > self.retries
            and self.history[-1].outcome == CRASHED
            and self.history[-1].attempt == self.attempt
        )

    @property
    def is_overdue(self) -> bool:
        """Whether it was claimed at or after the moment at which it expires: the command is to end, not to run."""
        return self.expires_at is not None and self.started_at is not None and self.started_at >= self.expires_at

    @property
    def is_duplicate(self) -> bool:
        """Whether it was accepted and never to run, since another command stands for it."""
        return self.started_at is None and self.error is not None and self.error.type == DUPLICATE

    @property
    def duration(self) -> timedelta | None:
        """How long the last attempt of a finished command took."""
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None

    def age(self, now: datetime) -> timedelta:
        """Return how long ago it was created."""
        return now - self.created_at

    def has_tag(self, tag: str) -> bool:
        """Whether it carries a tag."""
        return tag in self.tags

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The values beside the payload."""
        return self.extras.metadata

    @property
    def sequence(self) -> tuple[str, ...]:
        """The names of the commands that are to follow."""
        return self.extras.sequence

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context that it belongs to."""
        return self.extras.traceparent
