"""From a handler's return or exception to the outcome of its attempt."""

import inspect
import traceback
from collections.abc import Callable
from datetime import timedelta
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
        case _ if inspect.iscoroutine(value):
            value.close()
            raise InvalidResult("the handler returned a coroutine; declare it with `async def`, or await what it calls")
        case _:
            return Returned(_plain_result(registry, value))


def failed(error: BaseException) -> Failed:
    """Describe an exception that a handler let through."""
    return Failed(describe(error), retryable=not isinstance(error, _FOR_GOOD))


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
        traceback=_text(lambda: "".join(traceback.format_exception(error)))[-_MAX_TRACEBACK:],
    )


def _text(read: Callable[[], str]) -> str:
    """Read what an exception says of itself. Its code is a user's and may do anything, but not keep it from an end."""
    try:
        return strict_json.clean_text(read())
    except BaseException as broken:  # noqa: BLE001  even a SystemExit
        return f"(cannot be read: {type(broken).__qualname__})"


def _plain_result(registry: Registry, result: Any) -> Any:
    try:
        return registry.plain_payload(result)
    except DurexError as error:
        msg = f"the handler's result was refused: {str(error).replace('payload', 'result')}"
        raise InvalidResult(msg) from None


def _children(registry: Registry, command: Command, specs: tuple[Spec, ...]) -> tuple[NewCommand, ...]:
    return tuple(registry.prepare(spec, new_id(), parent=command) for spec in specs)
