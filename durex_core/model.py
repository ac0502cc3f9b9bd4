"""The words of durex as values: what a caller hands over, what the store holds, what a reader gets back."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypedDict
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from durex_core.backoff import Backoff

MAX_RETRIES = 1000
MAX_DELAY = timedelta(days=3660)
MAX_TIMEOUT = timedelta(days=7)

# Control characters are refused: Postgres cannot hold NUL, and none of them can be told apart by eye.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$", max_length=100)]
Key = Annotated[str, StringConstraints(pattern=_PRINTABLE, min_length=1, max_length=255)]
Tag = Annotated[str, StringConstraints(pattern=_PRINTABLE, min_length=1, max_length=100)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=20, strict=False)]
Priority = Annotated[int, Field(ge=-32768, le=32767)]
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
Delay = Annotated[timedelta, Field(ge=timedelta(0), le=MAX_DELAY)]
Timeout = Annotated[timedelta, Field(gt=timedelta(0), le=MAX_TIMEOUT)]


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

    @property
    def is_terminal(self) -> bool:
        """Whether a command in this state is finished for good."""
        return self in _TERMINAL


_TERMINAL = frozenset({State.COMPLETED, State.EXPIRED, State.CANCELLED, State.DEAD_LETTER, State.FAILED})


class Retention(StrEnum):
    """How long a finished command is kept: by whether a person may still want to act on it."""

    COMPLETED = "completed"
    ATTENTION = "attention"

    @classmethod
    def of(cls, state: State) -> "Retention":
        """Return the class of a terminal state."""
        return cls.COMPLETED if state is State.COMPLETED else cls.ATTENTION


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long finished commands are kept, by class: `completed` ones, and those that may need `attention`."""

    completed: timedelta = timedelta(days=7)
    attention: timedelta = timedelta(days=90)

    def keep(self, retention: Retention) -> timedelta:
        """Return the time for a class."""
        return self.completed if retention is Retention.COMPLETED else self.attention


class CommandOptions(TypedDict, total=False):
    """Options that a handler sets as defaults and a spec may override; None means unset, zero is a value."""

    priority: int | None
    retries: int | None
    backoff: Backoff | None
    timeout: timedelta | None
    dead_letter: bool | None
    tags: "tuple[str, ...] | list[str] | None"


class SpecOptions(CommandOptions, total=False):
    """What a caller may say of one command."""

    delay: timedelta | None
    correlation_id: str | None
    unique_key: str | None
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Spec:
    """What a caller hands to enqueue: the name of a command, its payload and what sets it apart.

    Every option left at None takes the handler's default. It is checked when it is enqueued, not when it is made.

    Attributes:
        delay: how long to wait before the first attempt.
        priority: higher runs first among the ready commands of a queue, −32768 to 32767 (default 0).
        retries: attempts after the first, 0 to 1000 (default 0).
        backoff: the wait between attempts (default none).
        timeout: the longest that one attempt may take (default no limit of its own).
        dead_letter: False ends a command that fails for good as `failed` instead of in the dead letter queue.
        tags: words to find commands by; they replace the handler's.
        correlation_id: ties commands of one piece of business together; children inherit it.
        unique_key: at most one live command holds it; enqueuing another returns the live one.
        idempotency_key: for this command name, enqueuing again returns the first command, finished or not.
    """

    __pydantic_config__ = ConfigDict(strict=True, revalidate_instances="always", arbitrary_types_allowed=True)

    name: Name
    payload: Any = None
    delay: Delay | None = field(default=None, kw_only=True)
    priority: Priority | None = field(default=None, kw_only=True)
    retries: Retries | None = field(default=None, kw_only=True)
    backoff: Backoff | None = field(default=None, kw_only=True)
    timeout: Timeout | None = field(default=None, kw_only=True)
    dead_letter: bool | None = field(default=None, kw_only=True)
    tags: Tags | None = field(default=None, kw_only=True)
    correlation_id: Key | None = field(default=None, kw_only=True)
    unique_key: Key | None = field(default=None, kw_only=True)
    idempotency_key: Key | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer to enqueue: the command's id, and whether this call created it."""

    id: UUID
    created: bool


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A spec that was checked and completed with its handler's defaults, ready for the store."""

    id: UUID
    name: str
    queue: str
    payload: Any
    delay: timedelta = timedelta(0)
    priority: int = 0
    retries: int = 0
    backoff: dict[str, Any] | None = None
    timeout: timedelta | None = None
    dead_letter: bool = True
    tags: tuple[str, ...] = ()
    correlation_id: str | None = None
    parent_id: UUID | None = None
    unique_key: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why an attempt failed."""

    type: str
    message: str
    traceback: str | None = None


CRASHED = "crashed"
"""The outcome of an attempt whose lease ran out; the statements that claim and rescue write this word."""


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that ended without ending its command: `outcome` says how."""

    attempt: int
    lease_number: int
    outcome: str
    ended_at: datetime
    started_at: datetime | None = None
    worker: str | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the store holds it.

    `attempt`, `started_at` and `worker` tell of the current attempt; `history` holds the earlier ones, the newest 50
    of them. `lease_number` rises at every claim and is never reset.
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

    @property
    def is_overdrawn(self) -> bool:
        """Whether the last attempt of the budget crashed: the command was claimed for its ending alone."""
        return bool(self.history) and self.history[-1].outcome == CRASHED and self.history[-1].attempt == self.attempt
