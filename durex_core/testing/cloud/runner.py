"""The runner of a simulated worker: real handlers, outcomes and rules, side by side in virtual time."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from durex_core import current
from durex_core.errors import DatabaseError
from durex_core.execution import attempt
from durex_core.execution.commits import Commits, Written
from durex_core.execution.runner import Settled
from durex_core.facts import AttemptFacts
from durex_core.handlers.handler import Handler, Hook
from durex_core.model import Command, Ending, ErrorInfo
from durex_core.registry import Registry
from durex_core.rules.endings import ending_of, hook_failed, recovered
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Failed, HandlerMissing, Outcome, Settlement
from durex_core.testing.cloud.lives import Process, Stopped
from durex_core.testing.cloud.settling import SimulatedWriter
from durex_core.testing.cloud.world import World


class SimulatedRunner:
    """Runs each attempt as a process of its own, which shares the life of its invocation.

    Handlers and hooks are called as they are; what they ask for is decided and written by durex's own rules. They get
    the facts of their attempt as context, and let virtual time pass by `SimulatedCloud.sleep`: it stops them when the
    attempt runs out of time. Middleware and limits are left out.
    """

    stuck = 0

    def __init__(self, world: World, registry: Registry, commits: Commits, random: Random, on_settled: Settled) -> None:
        """Run the commands of a registry and settle them by `commits`."""
        self._world = world
        self._registry = registry
        self._writer = SimulatedWriter(world, commits)
        self._random = random
        self._on_settled = on_settled

    def start(self, commands: Sequence[Command], *, within: timedelta | None = None) -> None:
        """Begin the attempts of claimed commands, or let them come to their ends."""
        here = self._world.processes.here
        assert here is not None
        for command in commands:
            name = f"{here.name}.{command.name}"
            process = Process(name, here.home, here.life, here.skew, is_attempt=True, on_end=_raise)
            self._world.start(process, partial(self._run, command, within))

    def close(self) -> None:
        """Do nothing: no thread was started."""

    def _run(self, command: Command, within: timedelta | None) -> None:
        settlement = self._concluded(command, ending_of(command) or self._outcome(command, within))
        written = self._writer.settle(settlement)
        if isinstance(written, DatabaseError):
            settlement = self._concluded(command, Failed(attempt.describe(written), how="refused"))
            written = self._writer.settle(settlement)
        is_held = isinstance(written, Written) and written.held
        self._world.note(f"  {settlement.outcome}, {'held' if is_held else 'LOST'}")
        self._on_settled([(settlement, written if isinstance(written, Written) else Written(held=False))])

    def _outcome(self, command: Command, within: timedelta | None) -> Outcome:
        """Run the handler, for as long as the attempt may take."""
        handler = self._registry.get(command.name)
        process = self._world.processes.here
        if handler is None or process is None:
            return HandlerMissing()
        limit = min((each for each in (command.timeout, within) if each is not None), default=None)
        if limit is not None:
            process.stops_at = self._world.timeline.seconds + limit.total_seconds()
        try:
            return self._attempted(handler, command)
        except Stopped:
            assert limit is not None
            return attempt.timed_out(command, limit)
        finally:
            process.stops_at = None

    def _attempted(self, handler: Handler, command: Command) -> Outcome:
        self._world.meet(f"handler:{command.name}")
        context = AttemptFacts(command)
        try:
            with current.running(context):
                value = _called(handler, *handler.arguments(context, handler.decode(command.payload)))
            return attempt.returned(self._registry, command, value)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001  whatever a handler lets through is an outcome
            return attempt.failed(error, handler.never_retry)

    def _concluded(self, command: Command, outcome: Outcome) -> Settlement:
        """Return what is to be stored, after the hook of the command's ending if there is one."""
        settlement = decide(command, outcome, self._random.random())
        handler = self._registry.get(command.name)
        if settlement.hook is None or (handler is None and ending_of(command) is None):
            return settlement
        if handler is None:
            return hook_failed(settlement, ErrorInfo("HandlerMissing", "nobody knows its hook"), retryable=True)
        hook = handler.on_recover if settlement.hook is Ending.FAILED else handler.on_expired
        return settlement if hook is None else self._recovered(command, settlement, hook)

    def _recovered(self, command: Command, settlement: Settlement, hook: Hook) -> Settlement:
        self._world.meet(f"hook:{command.name}")
        context = AttemptFacts(command)
        try:
            with current.running(context):
                value = _called(hook, *hook.arguments(context, command.payload, settlement.error))
            return recovered(settlement, attempt.recovered(self._registry, command, value).children)
        except Exception as error:  # noqa: BLE001  whatever a hook lets through is an outcome
            failed = attempt.failed(error)
            is_retryable = isinstance(failed, Failed) and failed.retryable
            return hook_failed(settlement, attempt.describe(error), retryable=is_retryable)


def _called(target: Handler | Hook, *arguments: Any) -> Any:
    value = target.function(*arguments)
    return asyncio.run(value) if target.is_async else value


def _raise(process: Process) -> None:
    """An attempt never raises: what does is a fault of the simulation itself."""
    if process.error is not None:
        raise process.error
