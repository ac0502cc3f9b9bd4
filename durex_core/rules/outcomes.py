"""Outcomes and settlements: what may happen in an attempt, and what the store is to write at its end."""

from datetime import timedelta
from typing import Any, Literal

from durex_core.model import Command, Ending, ErrorInfo, NewCommand, Recovery, State
from durex_core.records import record
from durex_core.results import UNCHANGED
from durex_core.rules.wakes import Due, due_by_queue


@record
class Returned:
    """The handler returned: a result, and the commands to enqueue with it."""

    result: Any = None
    children: tuple[NewCommand, ...] = ()


@record
class Repeated:
    """The handler asked for another run, after `delay` (default: the command's period)."""

    result: Any = None
    delay: timedelta | None = None
    payload: Any = UNCHANGED


@record
class Failed:
    """The handler raised, ran out of time, asked for another attempt, or had its outcome refused by the database.

    `delay` overrules the backoff.
    """

    error: ErrorInfo
    retryable: bool = True
    how: Literal["failed", "timed_out", "retrying", "refused"] = "failed"
    delay: timedelta | None = None


@record
class Crashed:
    """The worker vanished and took the last attempt of the budget with it."""


@record
class Expired:
    """The command's time was over before it had ended, or before it had started; `error` says which, if known."""

    error: ErrorInfo | None = None


@record
class GivenUp:
    """The command failed for good earlier; what was left to do is to end it."""

    error: ErrorInfo


@record
class Cancelled:
    """The handler cancelled its command."""

    reason: str


@record
class Released:
    """The worker gives the command back unfinished, to be tried after `delay`; the attempt does not count."""

    reason: str
    delay: timedelta = timedelta(0)


@record
class HandlerMissing:
    """This worker knows no handler of that name."""


Outcome = Returned | Repeated | Failed | Crashed | Expired | GivenUp | Cancelled | Released | HandlerMissing


@record
class Settlement:
    """What the store is to write at the end of a claim, if its lease still lasts.

    A terminal `state` moves the row to the finished ones. `opens_run` files the run that ended and opens the next one,
    after `delay`. Anything else puts the command back after `delay`, with a line of history that says how the attempt
    ended (`outcome`); `gives_back` takes the attempt off the count again, and `ending` says that no attempt is to
    follow, only another try of the hook that failed with `hook_error`.
    """

    command: Command
    state: State
    outcome: str
    result: Any = None
    error: ErrorInfo | None = None
    children: tuple[NewCommand, ...] = ()
    delay: timedelta = timedelta(0)
    gives_back: bool = False
    opens_run: bool = False
    next_payload: Any = UNCHANGED
    ending: Ending | None = None
    hook_error: ErrorInfo | None = None
    recovery: Recovery | None = None

    @property
    def work(self) -> list[tuple[str, timedelta]]:
        """The queue of each command that will be ready because of this settlement, and how long from now.

        One that waits for others is among them if its time may be over before theirs: somebody has to look.
        """
        own = [] if self.state.is_terminal else [(self.command.queue, self._soonest)]
        return own + [(child.queue, child.delay) for child in self.children if not child.awaits or child.may_expire]

    @property
    def _soonest(self) -> timedelta:
        """How long until the command is ready again, or its time is over if that is sooner."""
        command = self.command
        if self.opens_run or self.ending or command.deadline_at is None or command.started_at is None:
            return self.delay
        # From the start of the attempt, since rules know no clock: it cannot come too early.
        return min(self.delay, max(command.deadline_at - command.started_at, timedelta(0)))

    @property
    def wakes(self) -> dict[str, Due]:
        """The queues that have work because of this settlement."""
        return due_by_queue(self.work)

    @property
    def ends_its_part(self) -> bool:
        """Whether a command that waits for this one is to hear of it now: not if the next of a sequence takes over."""
        joined = self.command.join_id
        return joined is not None and all(child.join_id != joined for child in self.children)

    @property
    def hook(self) -> Ending | None:
        """Which of its handler's hooks is to run before this is stored, if the handler has it."""
        return _HOOKS.get(self.state)


_HOOKS = {State.DEAD_LETTER: Ending.FAILED, State.FAILED: Ending.FAILED, State.EXPIRED: Ending.EXPIRED}
