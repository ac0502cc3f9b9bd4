"""Documents: what the bodies of requests and answers hold. The limits of values are those of `durex_core.model`."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from durex_core.backoff import Backoff
from durex_core.model import (
    MAX_DELAY,
    MAX_TIMEOUT,
    ErrorInfo,
    Key,
    Name,
    Priority,
    Retries,
    Spec,
    State,
    Tags,
)
from durex_core.rules.history import HistoryEvent

DelaySeconds = Annotated[float, Field(ge=0, le=MAX_DELAY.total_seconds(), allow_inf_nan=False)]
TimeoutSeconds = Annotated[float, Field(gt=0, le=MAX_TIMEOUT.total_seconds(), allow_inf_nan=False)]


class SpecDocument(BaseModel):
    """What to enqueue. Every option that is left out or null takes its handler's default."""

    model_config = ConfigDict(extra="forbid", strict=True, title="Spec")

    name: Name = Field(description="The command's name, as its handler was registered.")
    payload: Any = Field(default=None, description="What the handler is given; any JSON that fits its type.")
    delay_seconds: DelaySeconds | None = Field(default=None, description="The wait before the first attempt.")
    priority: Priority | None = Field(default=None, description="Higher runs first in a queue.")
    retries: Retries | None = Field(default=None, description="How many attempts may follow the first.")
    timeout_seconds: TimeoutSeconds | None = Field(default=None, description="The longest that an attempt may take.")
    backoff: Backoff | None = Field(default=None, description="The wait between attempts; its delays are in seconds.")
    dead_letter: bool | None = Field(
        default=None, description="False: a command that fails for good ends as `failed`, not in the dead letter queue."
    )
    tags: Tags | None = Field(default=None, description="Words to find commands by.")
    correlation_id: Key | None = Field(default=None, description="Ties commands of one piece of business together.")
    unique_key: Key | None = Field(default=None, description="At most one live command holds it.")
    idempotency_key: Key | None = Field(default=None, description="The same as the header `Idempotency-Key`.")

    def to_spec(self, idempotency_key: str | None) -> Spec:
        """Return it as the application takes it, with the key that was settled on."""
        return Spec(
            self.name,
            self.payload,
            delay=_timedelta(self.delay_seconds),
            priority=self.priority,
            retries=self.retries,
            backoff=self.backoff,
            timeout=_timedelta(self.timeout_seconds),
            dead_letter=self.dead_letter,
            tags=self.tags,
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
    timeout_seconds: float | None
    backoff: Backoff | None
    dead_letter: bool
    history: list[HistoryEvent]


def _timedelta(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
