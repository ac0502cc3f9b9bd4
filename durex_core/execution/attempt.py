"""From a handler's return or exception to the outcome of its attempt."""

import traceback
from collections.abc import Callable
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

from durex_core import strict_json
from durex_core.errors import Cancel, InvalidPayload, InvalidResult, InvalidSpec, NonRetryable, RateLimited
from durex_core.execution import following
from durex_core.model import Command, ErrorInfo
from durex_core.registry import Registry
from durex_core.results import ContinueSequence, Repeat, Retry
from durex_core.rules.outcomes import Cancelled, Failed, Outcome, Repeated, Returned

_MAX_MESSAGE = 2_000
_MAX_TRACEBACK = 16_000

# What another attempt would meet again.
_FOR_GOOD = (NonRetryable, InvalidPayload, InvalidSpec, InvalidResult)


_NOTHING = Returned()


def returned(registry: Registry, command: Command, value: Any) -> Outcome:
    """Sort what a handler returned into a result and what follows.

    Raises:
        InvalidSpec: a command that was to follow was refused.
        InvalidResult: the result is not plain JSON or too large, or it cannot be had here.
    """
    if value is None:
        return _NOTHING
    match value:
        case Repeat(result=result, delay=delay, payload=payload):
            return Repeated(
                following.plain_result(registry, result),
                None if delay is None else following.checked_delay("Repeat", delay),
                following.next_payload(registry, command, payload),
            )
        case Retry(delay=delay, reason=reason):
            error = ErrorInfo("Retry", _text(lambda: str(reason))[:_MAX_MESSAGE])
            return Failed(error, how="retrying", delay=following.checked_delay("Retry", delay))
        case _:
            result, children = following.children_of(registry, command, value)
            return Returned(result, children)


def recovered(registry: Registry, command: Command, value: Any) -> Returned:
    """Return what the hook of an ending asked for; its result says nothing and is dropped.

    Raises:
        InvalidSpec: a command that was to follow was refused.
        InvalidResult: the hook asked for something that only a handler can.
    """
    if isinstance(value, Repeat | Retry | ContinueSequence):
        raise InvalidResult(f"a hook cannot return {type(value).__name__}: its command has ended")
    _, children = following.children_of(registry, command, value)
    return Returned(children=children)


def failed(error: BaseException, never_retry: tuple[type[BaseException], ...] = ()) -> Outcome:
    """Describe an exception that a handler let through."""
    match error:
        case Cancel():
            return Cancelled(describe(error).message)
        case RateLimited():
            return _rate_limited(error)
        case _:
            return Failed(describe(error), retryable=not isinstance(error, _FOR_GOOD + never_retry))


def _rate_limited(error: RateLimited) -> Failed:
    try:
        delay = None if error.retry_after is None else following.checked_delay("RateLimited", error.retry_after)
    except InvalidResult as invalid:
        return Failed(describe(invalid), retryable=False)
    return Failed(describe(error), how="retrying", delay=delay)


def timed_out(command: Command, limit: timedelta) -> Failed:
    """Describe an attempt that took longer than it was allowed: its command's timeout, or what its invocation had."""
    whose = "its timeout" if limit == command.timeout else "the time that its invocation had left"
    return Failed(ErrorInfo("TimedOut", f"attempt {command.attempt} ran longer than {limit}, {whose}"), how="timed_out")


def describe(error: BaseException) -> ErrorInfo:
    """Return an exception as it is stored: cut to size, and cleaned of what no database can hold."""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ in {"builtins", "durex_core.errors"}
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return ErrorInfo(
        type=strict_json.clean_text(name)[:_MAX_MESSAGE],
        message=_text(lambda: str(error))[:_MAX_MESSAGE],
        traceback=_text(lambda: "".join(traceback.format_exception(kind, error, _beyond_durex(error))))[
            -_MAX_TRACEBACK:
        ],
    )


def _beyond_durex(error: BaseException) -> TracebackType | None:
    """Leave out what led to the handler, or to the middleware around it: always the same, and long to describe."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _is_ours(trace.tb_frame):
        trace = trace.tb_next
    return trace


def _is_ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__package__") == __package__


def _text(read: Callable[[], str]) -> str:
    """Read what an exception says of itself. Its code is a user's and may do anything, but not keep it from an end."""
    try:
        return strict_json.clean_text(read())
    except BaseException as broken:  # noqa: BLE001  even a SystemExit
        return f"(cannot be read: {type(broken).__qualname__})"
