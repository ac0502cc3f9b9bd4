"""The manifest: what a deployment must know of an application, which it never imports itself."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from durex_core.handlers.handler import Handler
from durex_core.registry import Registry


def manifest(app: str, registry: Registry) -> dict[str, Any]:
    """Return the commands and queues of the application of this name as plain JSON values."""
    return {
        "app": app,
        "commands": [_command(handler) for handler in registry],
        "queues": [_queue(queue, registry) for queue in registry.queues],
    }


def _command(handler: Handler) -> dict[str, Any]:
    return {
        "name": handler.name,
        "queue": handler.queue,
        "retries": handler.defaults.retries or 0,
        "timeout_seconds": _longest([handler.defaults.timeout]),
        "permanent": handler.is_permanent,
        "period_seconds": _longest([handler.defaults.period]),
    }


def _queue(queue: str, registry: Registry) -> dict[str, Any]:
    """Describe a queue. Its timeout is the longest that a command of it declares; null if none declares one."""
    handlers = [handler for handler in registry if handler.queue == queue]
    return {
        "name": queue,
        "commands": [handler.name for handler in handlers],
        "timeout_seconds": _longest(handler.defaults.timeout for handler in handlers),
    }


def _longest(times: Iterable[timedelta | None]) -> float | None:
    return max((time.total_seconds() for time in times if time), default=None)
