"""What each queue gets: names, timeouts, visibility and concurrency, worked out before a construct exists.

The order of the times is the crash recovery: a command's timeout < its function's timeout < the lease < the wake's
visibility. A wake that comes back finds the lease of the crashed invocation over.
"""

import hashlib
import math
import re
from dataclasses import dataclass

from infra.manifest import Manifest, ManifestQueue
from infra.settings import QueueSettings, Settings

WAKES_PER_INVOCATION = 10
"""The most that a mapping hands over without a batching window; a wake tells of any number of commands."""

VISIBILITY_FACTOR = 6  # AWS's own rule for a mapping: room for its retries when the function is throttled
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlan:
    """One queue of commands, its worker and its wakes, in numbers."""

    name: str
    commands: tuple[str, ...]
    command_seconds: float
    timeout_seconds: int
    lease_seconds: int
    visibility_seconds: int
    batch_size: int
    """The handlers that one invocation runs side by side."""
    batching_window_seconds: int
    max_concurrency: int
    reserved_concurrency: int | None
    memory_megabytes: int

    @property
    def identifier(self) -> str:
        """The queue's name in construct ids and outputs."""
        return identifier(self.name)


def plan_queues(settings: Settings, manifest: Manifest) -> tuple[QueuePlan, ...]:
    """Work out every queue of the manifest."""
    return tuple(
        _plan(settings, queue, _longest(settings, manifest, queue), settings.queues.get(queue.name, QueueSettings()))
        for queue in manifest.queues
    )


def identifier(name: str) -> str:
    """Turn a queue's name into letters and digits that no other queue's name turns into.

    Names in snake_case read well (process_order is ProcessOrder); of any other the form would be ambiguous, so a hash
    of the name follows. The result depends on this name alone: a new queue never renames, and so replaces, another.
    """
    words = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))
    if _SNAKE_CASE.fullmatch(name):
        return words
    return words + hashlib.sha256(name.encode()).hexdigest()[:8]


def _longest(settings: Settings, manifest: Manifest, queue: ManifestQueue) -> float:
    """Return the longest that a command of a queue may take; one that declares no timeout has the default."""
    declared = [command.timeout_seconds for command in manifest.commands if command.queue == queue.name]
    return max(seconds or settings.default_command_timeout_seconds for seconds in declared or [queue.timeout_seconds])


def _plan(settings: Settings, queue: ManifestQueue, command_seconds: float, own: QueueSettings) -> QueuePlan:
    timeout = math.ceil(command_seconds) + settings.timeout_margin_seconds
    window = _or(own.batching_window_seconds, settings.batching_window_seconds)
    return QueuePlan(
        name=queue.name,
        commands=queue.commands,
        command_seconds=command_seconds,
        timeout_seconds=timeout,
        lease_seconds=timeout + settings.lease_margin_seconds,
        visibility_seconds=_or(own.visibility_seconds, VISIBILITY_FACTOR * timeout + window),
        batch_size=_or(own.batch_size, settings.batch_size),
        batching_window_seconds=window,
        max_concurrency=_or(own.max_concurrency, settings.max_concurrency),
        reserved_concurrency=own.reserved_concurrency,
        memory_megabytes=_or(own.memory_megabytes, settings.memory_megabytes),
    )


def _or(own: int | None, default: int) -> int:
    return default if own is None else own
