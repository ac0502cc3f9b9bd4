"""Documents: what the bodies of requests and answers hold. The limits of values are those of `durex_core.model`."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from durex_core.backoff import Backoff
from durex_core.model import ChildResult, Ending, ErrorInfo, Recovery, State
from durex_core.rules.history import HistoryEvent
from durex_core.spec import (
    MAX_DELAY,
    MAX_TIMEOUT,
    Key,
    Metadata,
    Name,
    Priority,
    Retries,
    Sequence,
    Spec,
    Tags,
    Traceparent,
)

_MICROSECOND = 1e-6


def _check_clock(seconds: float) -> float:
    """Refuse a time that the clock cannot tell from none, which would mean something else."""
    if 0 < seconds < _MICROSECOND:
        raise ValueError("a microsecond is the least")
    return seconds


def _check_text(value: Any) -> Any:
    """Refuse a number, which could be seconds or milliseconds since 1970."""
    if value is not None and not isinstance(value, str):
        raise ValueError("Input should be a text in ISO 8601, such as 2026-01-31T12:00:00Z")
    return value


_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_check_clock)]
DelaySeconds = Annotated[_Seconds, Field(le=MAX_DELAY.total_seconds())]
TimeoutSeconds = Annotated[_Seconds, Field(le=MAX_TIMEOUT.total_seconds())]
PeriodSeconds = Annotated[_Seconds, Field(gt=0, le=MAX_DELAY.total_seconds())]
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_check_text)]


class SpecDocument(BaseModel):
    """What to enqueue. Every option that is left out or null takes its handler's default."""

    model_config = ConfigDict(extra="forbid", strict=True, title="Spec")

    name: Name = Field(description="The command's name, as its handler was registered.")
    payload: Any = Field(default=None, description="What the handler is given; any JSON that fits its type.")
    delay_seconds: DelaySeconds | None = Field(default=None, description="The wait before the first attempt.")
    run_at: Moment | None = Field(default=None, description="The moment before which it does not start, in ISO 8601.")
    priority: Priority | None = Field(default=None, description="Higher runs first in a queue.")
    retries: Retries | None = Field(default=None, description="How many attempts may follow the first.")
    timeout_seconds: TimeoutSeconds | None = Field(
        default=None, description="The longest that an attempt may take; zero: no limit."
    )
    deadline_seconds: DelaySeconds | None = Field(
        default=None, description="The time it has to end in, from the moment it is due; zero: no limit."
    )
    deadline_at: Moment | None = Field(default=None, description="The moment by which it must have ended.")
    start_within_seconds: DelaySeconds | None = Field(
        default=None, description="The time it has to start in, from the moment it is due; zero: no limit."
    )
    period_seconds: PeriodSeconds | None = Field(
        default=None, description="The wait between the runs of a command that repeats."
    )
    backoff: Backoff | None = Field(default=None, description="The wait between attempts; its delays are in seconds.")
    dead_letter: bool | None = Field(
        default=None, description="False: a command that fails for good ends as `failed`, not in the dead letter queue."
    )
    tags: Tags | None = Field(default=None, description="Words to find commands by.")
    metadata: Metadata | None = Field(
        default=None, description="Values beside the payload, merged into those of the handler."
    )
    sequence: Sequence | None = Field(default=None, description="The names of the commands that are to follow.")
    traceparent: Traceparent | None = Field(default=None, description="The same as the header `traceparent`.")
    correlation_id: Key | None = Field(default=None, description="Ties commands of one piece of business together.")
    unique_key: Key | None = Field(default=None, description="At most one live command holds it.")
    idempotency_key: Key | None = Field(default=None, description="The same as the header `Idempotency-Key`.")

    def to_spec(self, *, idempotency_key: str | None, traceparent: str | None) -> Spec:
        """Return it as the application takes it, with the key and the trace context that were settled on."""
        return Spec(
            self.name,
            self.payload,
            delay=_timedelta(self.delay_seconds),
            run_at=self.run_at,
            priority=self.priority,
            retries=self.retries,
            backoff=self.backoff,
            timeout=_timedelta(self.timeout_seconds),
            deadline=_timedelta(self.deadline_seconds),
            deadline_at=self.deadline_at,
            start_within=_timedelta(self.start_within_seconds),
            period=_timedelta(self.period_seconds),
            dead_letter=self.dead_letter,
            tags=self.tags,
            metadata=self.metadata,
            sequence=self.sequence,
            traceparent=traceparent,
            correlation_id=self.correlation_id,
            unique_key=self.unique_key,
            idempotency_key=idempotency_key,
        )


class CommandDocument(BaseModel):
    """A command, and what has happened to it so far."""

    model_config = ConfigDict(extra="forbid", title="Command")

    id: UUID
    name: str
    queue: str
    state: State
    payload: Any
    result: Any
    error: ErrorInfo | None
    attempt: int
    retries: int
    priority: int
    run: int
    tags: list[str]
    correlation_id: str | None
    parent_id: UUID | None
    unique_key: str | None
    idempotency_key: str | None
    created_at: datetime
    ready_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    expires_at: datetime | None
    timeout_seconds: float | None
    deadline_seconds: float | None
    start_within_seconds: float | None
    period_seconds: float | None
    backoff: Backoff | None
    dead_letter: bool
    metadata: dict[str, Any]
    sequence: list[str]
    traceparent: str | None
    progress: Any
    ending: Ending | None
    recovery: Recovery | None
    join_id: UUID | None
    awaits: int
    children: list[ChildResult]
    history: list[HistoryEvent]


class AcceptedDocument(BaseModel):
    """A command that is kept until the database is back."""

    model_config = ConfigDict(extra="forbid", title="Accepted")

    id: UUID
    state: Literal["accepted"]


class WokenDocument(BaseModel):
    """A queue whose workers were told that it has work."""

    model_config = ConfigDict(extra="forbid", title="Woken")

    queue: str


class PageDocument(BaseModel):
    """Commands, and the `cursor` with which the next ones are listed; null if there are no more."""

    model_config = ConfigDict(extra="forbid", title="Page")

    commands: list[CommandDocument]
    next_cursor: str | None


class QueueStatsDocument(BaseModel):
    """How much of everything a queue has."""

    model_config = ConfigDict(extra="forbid", title="QueueStats")

    queue: str
    ready: int = Field(description="How many commands could start now.")
    oldest_ready_age_seconds: float | None = Field(description="For how long the oldest of them could have.")
    live: dict[State, int] = Field(description="Live commands by state.")
    finished: dict[State, int] = Field(description="Commands that finished lately, by state.")


class StatsDocument(BaseModel):
    """How much of everything there is."""

    model_config = ConfigDict(extra="forbid", title="Stats")

    finished_within_seconds: float = Field(description="How far back finished commands were counted.")
    ready: int
    states: dict[State, int]
    queues: list[QueueStatsDocument]


class CancelDocument(BaseModel):
    """Why a command is cancelled."""

    model_config = ConfigDict(extra="forbid", strict=True, title="Cancel")

    reason: str | None = Field(default=None, description="Is kept as the error of the command.")


def _timedelta(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
