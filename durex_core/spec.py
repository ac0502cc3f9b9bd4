"""Specs: what a caller hands to enqueue, and the bounds of what it may say."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import Annotated, Any, TypedDict

from pydantic import ConfigDict

from durex_core.backoff import Backoff
from durex_core.fields import AwareDatetime, Field
from durex_core.records import record

MAX_RETRIES = 1000
MAX_DELAY = timedelta(days=3660)
MAX_TIMEOUT = timedelta(days=7)
MAX_METADATA = 50
MAX_NAME = 100
NAME = r"^[A-Za-z_][A-Za-z0-9_.\-]*$"

# Control characters are refused: Postgres cannot hold NUL, and none of them can be told apart by eye.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Name = Annotated[str, Field(pattern=NAME, max_length=MAX_NAME)]
Key = Annotated[str, Field(pattern=_PRINTABLE, min_length=1, max_length=255)]
Tag = Annotated[str, Field(pattern=_PRINTABLE, min_length=1, max_length=100)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=20, strict=False)]
Priority = Annotated[int, Field(ge=-32768, le=32767)]
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
Delay = Annotated[timedelta, Field(ge=timedelta(0), le=MAX_DELAY)]
Timeout = Annotated[timedelta, Field(ge=timedelta(0), le=MAX_TIMEOUT)]
Period = Annotated[timedelta, Field(gt=timedelta(0), le=MAX_DELAY)]
Moment = AwareDatetime
Metadata = Annotated[dict[Key, Any], Field(max_length=MAX_METADATA, strict=False)]
Sequence = Annotated[tuple[Name, ...], Field(max_length=100, strict=False)]
# W3C Trace Context, version 00: https://www.w3.org/TR/trace-context/#traceparent-header
Traceparent = Annotated[str, Field(pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]


class CommandOptions(TypedDict, total=False):
    """Options that an app and a handler set as defaults and a spec may override; None means unset, zero is a value."""

    priority: int | None
    retries: int | None
    backoff: Backoff | None
    timeout: timedelta | None
    deadline: timedelta | None
    start_within: timedelta | None
    period: timedelta | None
    dead_letter: bool | None
    tags: "tuple[str, ...] | list[str] | None"
    metadata: "Mapping[str, Any] | None"


class SpecOptions(CommandOptions, total=False):
    """What a caller may say of one command."""

    delay: timedelta | None
    run_at: datetime | None
    deadline_at: datetime | None
    sequence: "tuple[str, ...] | list[str] | None"
    correlation_id: str | None
    traceparent: str | None
    unique_key: str | None
    idempotency_key: str | None


@record
class Spec:
    """What a caller hands to enqueue: the name of a command, its payload and what sets it apart.

    Every option left at None takes the handler's default, and then the app's. It is checked when it is enqueued, not
    when it is made. To change a spec, use `dataclasses.replace`.

    Attributes:
        delay: how long to wait before the first attempt.
        run_at: the moment before which it does not start, instead of a delay; one in the past means now.
        priority: higher runs first among the ready commands of a queue, −32768 to 32767 (default 0).
        retries: attempts after the first, 0 to 1000 (default 0).
        backoff: the wait between attempts (default none).
        timeout: the longest that one attempt may take (default no limit of its own; zero: none).
        deadline: the time it has from the moment it is due until it must have ended; then it expires (zero: none).
            For one that waits for others (`SpawnThen`) it counts from when it was stored.
        deadline_at: the same as a moment, for all runs of a command that repeats.
        start_within: the time it has from the moment it is due until its first attempt must have started; then it
            expires (zero: none).
        period: the wait between the runs of a command that repeats (default one minute).
        dead_letter: False ends a command that fails for good as `failed` instead of in the dead letter queue.
        tags: words to find commands by; they replace the handler's.
        metadata: values for the handler beside the payload, such as headers; they are merged into the handler's.
        sequence: the names of the commands that are to follow, each when the one before returns `ContinueSequence`.
        correlation_id: ties commands of one piece of business together; children inherit it.
        traceparent: the W3C trace context that the command belongs to; children inherit it.
        unique_key: at most one live command holds it; enqueuing another returns the live one.
        idempotency_key: for this command name, enqueuing again returns the first command, finished or not.
    """

    __pydantic_config__ = ConfigDict(strict=True, revalidate_instances="always", arbitrary_types_allowed=True)

    name: Name
    payload: Any = None
    delay: Delay | None = field(default=None, kw_only=True)
    run_at: Moment | None = field(default=None, kw_only=True)
    priority: Priority | None = field(default=None, kw_only=True)
    retries: Retries | None = field(default=None, kw_only=True)
    backoff: Backoff | None = field(default=None, kw_only=True)
    timeout: Timeout | None = field(default=None, kw_only=True)
    deadline: Delay | None = field(default=None, kw_only=True)
    deadline_at: Moment | None = field(default=None, kw_only=True)
    start_within: Delay | None = field(default=None, kw_only=True)
    period: Period | None = field(default=None, kw_only=True)
    dead_letter: bool | None = field(default=None, kw_only=True)
    tags: Tags | None = field(default=None, kw_only=True)
    metadata: Metadata | None = field(default=None, kw_only=True)
    sequence: Sequence | None = field(default=None, kw_only=True)
    correlation_id: Key | None = field(default=None, kw_only=True)
    traceparent: Traceparent | None = field(default=None, kw_only=True)
    unique_key: Key | None = field(default=None, kw_only=True)
    idempotency_key: Key | None = field(default=None, kw_only=True)
