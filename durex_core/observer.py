"""Observers: whoever wants to hear of what durex does, such as metrics, error trackers and audit logs."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from durex_core.errors import DatabaseError
from durex_core.model import Command, ErrorInfo, NewCommand, State
from durex_core.rules.outcomes import Settlement

_log = logging.getLogger(__name__)


class Observer:
    """Hears of what this process does; override what you want to hear.

    Methods are called after the commit, from any thread, and must be quick and thread-safe. What one of them raises is
    logged and changes nothing.
    """

    def enqueued(self, commands: Sequence[NewCommand]) -> None:
        """Commands were stored."""

    def started(self, command: Command) -> None:
        """An attempt is about to run its handler."""

    def settled(self, settlement: Settlement, seconds: float) -> None:
        """The end of a claim was stored; the handler ran for `seconds`, or 0 if it did not run."""

    def cancelled(self, commands: Sequence[Command]) -> None:
        """Commands were cancelled from outside."""

    def revived(self, command: Command) -> None:
        """A finished command was put back to run again."""

    def pruned(self, commands: int) -> None:
        """So many finished commands were dropped."""

    def store_failed(self, operation: str, error: BaseException) -> None:
        """The database refused something or could not be reached, in an operation: enqueue, work, settle."""


class told_of_failures:  # noqa: N801  it reads as what it does; a generator would take three times as long
    """Tell an observer what the database refuses during the block, and let the error through."""

    __slots__ = ("_observer", "_operation")

    def __init__(self, observer: Observer, operation: str) -> None:
        self._observer = observer
        self._operation = operation

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, DatabaseError):
            self._observer.store_failed(self._operation, error)


class OnError(Observer):
    """Calls a function with each command that failed for good."""

    def __init__(self, function: Callable[[Command, ErrorInfo], None]) -> None:
        """Name the function."""
        self._function = function

    def settled(self, settlement: Settlement, seconds: float) -> None:  # noqa: ARG002  it is an observer's
        """Call it, if this was a failure for good."""
        if settlement.state in (State.DEAD_LETTER, State.FAILED) and settlement.error is not None:
            self._function(settlement.command, settlement.error)


class Observers(Observer):
    """All the observers of an application, as one. Who does not override a method is not called for it."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        """Begin with some."""
        self._observers = list(observers)
        self._lock = threading.Lock()
        self._hearers = self._sorted()

    def __len__(self) -> int:
        return len(self._observers)

    def add(self, observer: Observer) -> None:
        """Let another one hear of everything from here on."""
        with self._lock:
            self._observers.append(observer)
            self._hearers = self._sorted()

    @contextmanager
    def hearing(self, observer: Observer) -> Iterator[None]:
        """Let an observer hear of everything during the block."""
        self.add(observer)
        try:
            yield
        finally:
            with self._lock:
                self._observers.remove(observer)
                self._hearers = self._sorted()

    def is_heard(self, what: str) -> bool:
        """Say whether somebody hears of this, by the name of its method."""
        return bool(self._hearers[what])

    def enqueued(self, commands: Sequence[NewCommand]) -> None:
        """Tell all."""
        self._tell("enqueued", commands)

    def started(self, command: Command) -> None:
        """Tell all."""
        self._tell("started", command)

    def settled(self, settlement: Settlement, seconds: float) -> None:
        """Tell all."""
        self._tell("settled", settlement, seconds)

    def cancelled(self, commands: Sequence[Command]) -> None:
        """Tell all."""
        self._tell("cancelled", commands)

    def revived(self, command: Command) -> None:
        """Tell all."""
        self._tell("revived", command)

    def pruned(self, commands: int) -> None:
        """Tell all."""
        self._tell("pruned", commands)

    def store_failed(self, operation: str, error: BaseException) -> None:
        """Tell all."""
        self._tell("store_failed", operation, error)

    def _sorted(self) -> dict[str, tuple[Callable[..., None], ...]]:
        """Return who hears of what."""
        return {
            what: tuple(
                hears for each in self._observers if getattr(hears := getattr(each, what), "__func__", None) is not deaf
            )
            for what, deaf in vars(Observer).items()
            if not what.startswith("_")
        }

    def _tell(self, what: str, *news: Any) -> None:
        for hears in self._hearers[what]:
            try:
                hears(*news)
            except Exception:  # noqa: BLE001  an observer's fault is not the command's
                _log.exception("the observer %r raised", hears)
