"""From a handler's return or exception to the outcome of its attempt."""

import traceback
from typing import Any

from durex_core import strict_json
from durex_core.errors import DurexError, InvalidPayload, InvalidResult, InvalidSpec, NonRetryable
from durex_core.ids import new_id
from durex_core.model import Command, ErrorInfo, NewCommand, Spec
from durex_core.registry import Registry
from durex_core.results import Next, Spawn
from durex_core.rules.lifecycle import Failed, Returned

_MAX_MESSAGE = 2_000
_MAX_TRACEBACK = 16_000

# What another attempt would meet again.
_FOR_GOOD = (NonRetryable, InvalidPayload, InvalidSpec, InvalidResult)


def returned(registry: Registry, command: Command, value: Any) -> Returned:
    """Sort what a handler returned into a result and children.

    Raises:
        InvalidSpec: a child was refused.
        InvalidResult: the result is not plain JSON, or too large.
    """
    match value:
        case Next(spec=spec, result=result):
            return Returned(_plain_result(registry, result), _children(registry, command, (spec,)))
        case Spawn(specs=specs, result=result):
            return Returned(_plain_result(registry, result), _children(registry, command, specs))
        case _:
            return Returned(_plain_result(registry, value))


def failed(error: BaseException) -> Failed:
    """Describe an exception that a handler let through."""
    return Failed(describe(error), retryable=not isinstance(error, _FOR_GOOD))


def timed_out(command: Command) -> Failed:
    """Describe an attempt that took longer than its command allows."""
    return Failed(
        ErrorInfo("TimedOut", f"attempt {command.attempt} ran longer than {command.timeout}"), how="timed_out"
    )


def describe(error: BaseException) -> ErrorInfo:
    """Return an exception as it is stored: cut to size, and cleaned of what no database can hold."""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ in {"builtins", "durex_core.errors"}
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    trace = "".join(traceback.format_exception(error))
    return ErrorInfo(
        type=name,
        message=strict_json.clean_text(_message(error))[:_MAX_MESSAGE],
        traceback=strict_json.clean_text(trace)[-_MAX_TRACEBACK:],
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001  a user's __str__ may do anything
        return f"(its message cannot be read: {broken!r})"


def _plain_result(registry: Registry, result: Any) -> Any:
    try:
        return registry.plain_payload(result)
    except DurexError as error:
        msg = f"the handler's result was refused: {str(error).replace('payload', 'result')}"
        raise InvalidResult(msg) from None


def _children(registry: Registry, command: Command, specs: tuple[Spec, ...]) -> tuple[NewCommand, ...]:
    return tuple(registry.prepare(spec, new_id(), parent=command) for spec in specs)
