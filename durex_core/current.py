"""What is current here: the attempt that runs this code, and the ids that commands enqueued by it belong to.

Handlers have their context as an argument; this is for the code that they call, and for code outside of handlers, such
as a web request, that wants the commands which it enqueues to carry its ids.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from durex_core.facts import AttemptFacts
from durex_core.model import Command

_context: ContextVar[AttemptFacts | None] = ContextVar("durex_context", default=None)
_correlation_id: ContextVar[str | None] = ContextVar("durex_correlation_id", default=None)
_traceparent: ContextVar[str | None] = ContextVar("durex_traceparent", default=None)


def context() -> AttemptFacts | None:
    """Return the context of the attempt that runs this code, or None outside of handlers."""
    return _context.get()


def command() -> Command | None:
    """Return the command whose handler runs this code, or None outside of handlers."""
    found = _context.get()
    return found.command if found else None


def correlation_id() -> str | None:
    """Return the correlation id that commands enqueued here get, unless their spec says otherwise."""
    found = _context.get()
    return _correlation_id.get() or (found.correlation_id or str(found.id) if found else None)


def traceparent() -> str | None:
    """Return the W3C trace context that commands enqueued here get, unless their spec says otherwise."""
    found = _context.get()
    return _traceparent.get() or (found.traceparent if found else None)


@contextmanager
def lineage(*, correlation_id: str | None = None, traceparent: str | None = None) -> Iterator[None]:
    """Let the commands that are enqueued in the block carry these ids; None leaves an id as it is."""
    tokens = [(variable, variable.set(value)) for variable, value in _named(correlation_id, traceparent)]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


@contextmanager
def running(attempt: AttemptFacts) -> Iterator[None]:
    """Let an attempt be the current one in the block."""
    token = _context.set(attempt)
    try:
        yield
    finally:
        _context.reset(token)


def enter(attempt: AttemptFacts) -> None:
    """Let an attempt be the current one in what is left of this `contextvars` context, which nobody else uses."""
    _context.set(attempt)


def _named(correlation_id: str | None, traceparent: str | None) -> list[tuple[ContextVar[str | None], str]]:
    found = ((_correlation_id, correlation_id), (_traceparent, traceparent))
    return [(variable, value) for variable, value in found if value is not None]
