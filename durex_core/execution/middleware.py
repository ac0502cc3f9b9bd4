"""Middleware: what an application puts around all of its handlers.

A middleware is `(ctx, call_next) -> result`, a plain function or a coroutine function, whatever the handlers are: it
calls (or awaits) `call_next()` for what lies inside of it, returns that or something else, or does not call it at all.
The first one added is the outermost.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from durex_core.execution.crossings import Crossings
from durex_core.facts import AttemptFacts
from durex_core.records import record

Middleware = Callable[[Any, Callable[[], Any]], Any]


@record
class Call:
    """Something to call without arguments: a plain function, or one that returns an awaitable."""

    function: Callable[[], Any]
    is_async: bool


def begins_async(middleware: Sequence[Middleware], *, inner: bool) -> bool:
    """Return whether what is outermost is a coroutine function, where the handler is or is not one."""
    return inspect.iscoroutinefunction(middleware[0]) if middleware else inner


def wrapped(call: Call, middleware: Sequence[Middleware], context: AttemptFacts, crossings: Crossings) -> Call:
    """Return a call with middleware around it.

    Where a plain function calls what is a coroutine function inside of it, its thread waits while the loop runs that.
    The other way round a thread runs the plain function.
    """
    for layer in reversed(middleware):
        is_async = inspect.iscoroutinefunction(layer)
        call = Call(partial(layer, context, _call_next(call, crossings, from_async=is_async)), is_async)
    return call


def _call_next(call: Call, crossings: Crossings, *, from_async: bool) -> Callable[[], Any]:
    if from_async == call.is_async:
        return call.function
    return partial(crossings.to_thread if from_async else crossings.to_loop, call.function)
