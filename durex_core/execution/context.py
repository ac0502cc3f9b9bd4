"""What a handler receives as its first argument, if it asks for one."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, ParamSpec, TypeVar

from durex_core.clock import monotonic_seconds
from durex_core.errors import AttemptCancelled, DatabaseError, InvalidSpec, LeaseLost, NotAllowed
from durex_core.execution.commits import Note, Written
from durex_core.execution.following import check_waited_for
from durex_core.execution.writer import Writer
from durex_core.facts import AttemptFacts
from durex_core.ids import new_id
from durex_core.model import Command
from durex_core.registry import Registry
from durex_core.rules.saga import registered
from durex_core.spec import Spec

MAX_COMPENSATIONS = 200
"""How many undoings a command may register, those of the earlier commands of its sequence among them."""

_ASK_EVERY_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")

Undo = Spec | Callable[[T], Spec]
"""The command that undoes a step, or a function that makes it from what the step returned."""


class WritingContext(AttemptFacts):
    """What both kinds of context have in common: what they ask the writer to store.

    Nothing is told once the attempt is over: how it ended is read then, and would not hold what comes later.
    """

    __slots__ = ("_asked_at_seconds", "_calls", "_has_lost_lease", "_is_hook", "_registry", "_writer")

    # One for all attempts: it is held for a moment, and few need it.
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, command: Command, registry: Registry, writer: Writer, *, is_hook: bool = False) -> None:
        """Tell of a claimed command, or of the hook of its ending, and write for it."""
        super().__init__(command)
        self._registry = registry
        self._writer = writer
        self._is_hook = is_hook
        self._calls: dict[str, int] | None = None
        self._has_lost_lease = False
        self._asked_at_seconds = monotonic_seconds()

    @property
    def has_lost_lease(self) -> bool:
        """Whether this attempt no longer owns its command: nothing that comes of it is stored."""
        return self._has_lost_lease

    def cancel(self) -> None:
        """Mark the work as no longer wanted."""
        with self._lock:
            super().cancel()

    def lose_lease(self) -> None:
        """Mark the work as no longer wanted, because the command is no longer this attempt's."""
        self._has_lost_lease = True
        self.cancel()

    def _beat(self) -> Future[Written]:
        return self._writer.extend(self.command)

    def _report(self, progress: Any) -> Future[Written]:
        plain = self._registry.plain_payload(progress)
        with self._lock:
            self._refuse_if_over()
            self.command = replace(self.command, progress=plain)
            return self._note()

    def _compensate(self, spec: Spec) -> Future[Written]:
        if self._is_hook:
            raise NotAllowed(
                f"the hook of command {self.command.id} cannot register {spec.name!r}: what is undone was settled when"
                " its command ended; return Next or Spawn instead"
            )
        check_waited_for("compensation", spec, "delay", "run_at")
        undo = self._registry.prepare(spec, new_id(), parent=self.command)
        with self._lock:
            self._refuse_if_over()
            calls = self._calls = self._calls or {}
            calls[spec.name] = calls.get(spec.name, 0) + 1
            key = f"{spec.name}#{calls[spec.name]}"
            known = registered(self.command.compensations, key, undo)
            if len(known) > MAX_COMPENSATIONS:
                raise InvalidSpec(
                    "compensation", f"is one of more than {MAX_COMPENSATIONS}; undo several steps with one"
                )
            self.command = replace(self.command, compensations=known)
            return self._note()

    def _note(self) -> Future[Written]:
        return self._writer.note(self.command, Note(self.command.progress, self.command.compensations))

    def _held(self, written: Written) -> None:
        if not written.held:
            self.lose_lease()
            raise LeaseLost(self.command.id, self.command.lease_number)

    def _refuse_if_over(self) -> None:
        if self._has_lost_lease:
            raise LeaseLost(self.command.id, self.command.lease_number)
        self._raise_if_cancelled()

    def _raise_if_cancelled(self) -> None:
        if self.is_cancelled:
            raise AttemptCancelled(self.command.id, self.command.attempt)

    def _is_to_ask(self) -> bool:
        """Whether it is time to ask the database again if it still knows of this attempt."""
        is_time = not self.is_cancelled and monotonic_seconds() - self._asked_at_seconds > _ASK_EVERY_SECONDS
        if is_time:
            self._asked_at_seconds = monotonic_seconds()
        return is_time


class Context(WritingContext):
    """The context of a handler that is a plain function."""

    __slots__ = ()

    is_for_coroutines = False

    def heartbeat(self) -> None:
        """Say that this attempt is alive: its lease is extended. Workers do this by themselves, Lambda does not.

        Raises:
            LeaseLost: the command was cancelled or claimed anew; stop its work.
        """
        self._held(self._beat().result())

    def raise_if_cancelled(self) -> None:
        """Stop here if this attempt's work is no longer wanted; call it in loops.

        Every five seconds it asks the database, by a heartbeat, whether the command was cancelled elsewhere. A database
        that does not answer says nothing about that.

        Raises:
            AttemptCancelled: its time is up, or the command was cancelled or claimed anew; let the exception through.
        """
        if self._is_to_ask():
            with suppress(LeaseLost, DatabaseError):
                self.heartbeat()
        self._raise_if_cancelled()

    def report_progress(self, progress: Any) -> None:
        """Store how far the work is, any JSON, for whoever looks at the command.

        Raises:
            AttemptCancelled: its time is up; stop its work.
            LeaseLost: the command was cancelled or claimed anew; stop its work.
        """
        self._held(self._report(progress).result())

    def compensate_with(self, spec: Spec) -> None:
        """Have a command enqueued that undoes what was just done, should this command fail for good or expire.

        It is durable when this returns. Compensations run one after another, the last one first; in a sequence those of
        the earlier commands too. What an earlier attempt had registered stays, and is replaced when the same step
        registers again.

        Raises:
            InvalidSpec: the spec was refused.
            NotAllowed: this is a hook; what is undone was settled when its command ended.
            AttemptCancelled: its time is up; stop its work.
            LeaseLost: the command was cancelled or claimed anew; stop its work.
        """
        self._held(self._compensate(spec).result())

    def saga_step(self, step: Callable[P, T], undo: "Undo[T]", /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a step, and register the command that undoes it; see `compensate_with`.

        A crash between the two leaves the step to the next attempt: it must bear being done twice.
        """
        result = step(*args, **kwargs)
        self.compensate_with(undo if isinstance(undo, Spec) else undo(result))
        return result


class AsyncContext(WritingContext):
    """The context of a handler that is a coroutine function."""

    __slots__ = ()

    is_for_coroutines = True

    async def heartbeat(self) -> None:
        """Do what `Context.heartbeat` does."""
        self._held(await asyncio.wrap_future(self._beat()))

    async def raise_if_cancelled(self) -> None:
        """Do what `Context.raise_if_cancelled` does."""
        if self._is_to_ask():
            with suppress(LeaseLost, DatabaseError):
                await self.heartbeat()
        self._raise_if_cancelled()

    async def report_progress(self, progress: Any) -> None:
        """Do what `Context.report_progress` does."""
        self._held(await asyncio.wrap_future(self._report(progress)))

    async def compensate_with(self, spec: Spec) -> None:
        """Do what `Context.compensate_with` does."""
        self._held(await asyncio.wrap_future(self._compensate(spec)))

    async def saga_step(
        self, step: Callable[P, Awaitable[T]], undo: "Undo[T]", /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what `Context.saga_step` does."""
        result = await step(*args, **kwargs)
        await self.compensate_with(undo if isinstance(undo, Spec) else undo(result))
        return result
