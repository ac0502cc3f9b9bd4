"""The life of a command: which states follow which, and what the end of an attempt leads to.

`docs/lifecycle.md` draws `TRANSITIONS`; a test compares the two. `decide` is the one place that turns what happened in
an attempt into what is stored. It reads no clock: it returns delays, and the database adds them to its own time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from durex_core.model import (
    CRASHED,
    DEFAULT_PERIOD,
    HOOK_FAILED,
    Command,
    Ending,
    ErrorInfo,
    NewCommand,
    PastAttempt,
    Recovery,
    State,
)
from durex_core.results import UNCHANGED
from durex_core.rules.backoff import delay_before
from durex_core.rules.saga import unwind

_LIVE_ENDS = {State.STARTED, State.CANCELLED}
_REVIVED = frozenset({State.PENDING})

TRANSITIONS: dict[State | None, frozenset[State]] = {
    None: frozenset({State.PENDING, State.SCHEDULED, State.WAITING}),
    State.SCHEDULED: frozenset({State.PENDING, *_LIVE_ENDS}),
    State.PENDING: frozenset(_LIVE_ENDS),
    State.WAITING: frozenset({State.PENDING, *_LIVE_ENDS}),
    State.REPEATING: frozenset({State.PENDING, *_LIVE_ENDS}),
    State.STARTED: frozenset(
        {
            State.PENDING,
            State.SCHEDULED,
            State.STARTED,
            State.REPEATING,
            State.COMPLETED,
            State.EXPIRED,
            State.CANCELLED,
            State.DEAD_LETTER,
            State.FAILED,
        }
    ),
    State.EXPIRED: _REVIVED,
    State.CANCELLED: _REVIVED,
    State.DEAD_LETTER: _REVIVED,
    State.FAILED: _REVIVED,
}
"""From each state, the states that may follow; None stands for "not stored yet".

`started → started` is a claim that takes over an expired lease. A terminal state changes only when somebody asks for
it: retrying or replaying gives the command a new life, with a fresh budget.
"""

MAX_HANDLER_MISSES = 10
"""How often a command whose handler is unknown is put back, in case a deployment is still rolling out."""

MAX_HOOK_TRIES = 10
"""How often the hook of an ending is tried before the command ends without it."""

LIMITED_DELAY = timedelta(seconds=1)
"""How long a command waits that a worker took but may not start yet, because of its own limits."""

_LONGEST_DELAY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned: a result, and the commands to enqueue with it."""

    result: Any = None
    children: tuple[NewCommand, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeated:
    """The handler asked for another run, after `delay` (default: the command's period)."""

    result: Any = None
    delay: timedelta | None = None
    payload: Any = UNCHANGED


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, ran out of time, asked for another attempt, or had its outcome refused by the database.

    `delay` overrules the backoff.
    """

    error: ErrorInfo
    retryable: bool = True
    how: Literal["failed", "timed_out", "retrying", "refused"] = "failed"
    delay: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker vanished and took the last attempt of the budget with it."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The command's time was over before it had ended, or before it had started; `error` says which, if known."""

    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The command failed for good earlier; what was left to do is to end it."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The handler cancelled its command."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """The worker gives the command back unfinished, to be tried after `delay`; the attempt does not count."""

    reason: str
    delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class HandlerMissing:
    """This worker knows no handler of that name."""


Outcome = Returned | Repeated | Failed | Crashed | Expired | GivenUp | Cancelled | Released | HandlerMissing


@dataclass(frozen=True, slots=True)
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
    def wakes(self) -> dict[str, timedelta]:
        """The queues that have work because of this settlement, and how long from now."""
        own = [] if self.state.is_terminal else [(self.command.queue, self.delay)]
        return soonest(own + [(child.queue, child.delay) for child in self.children if not child.awaits])

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


def decide(command: Command, outcome: Outcome, randomness: float) -> Settlement:  # noqa: PLR0911  one for each outcome
    """Turn what happened in an attempt into what is stored; `randomness` in [0, 1) spreads jittered backoff."""
    match ending_of(command) or outcome:
        case Returned(result=result, children=children):
            return Settlement(command, State.COMPLETED, "completed", result=result, children=children)
        case Repeated() as repeated:
            return _repeat(command, repeated)
        case Failed() as failed:
            return _retry(command, failed, randomness) if _may_retry(command, failed) else _fail(command, failed)
        case GivenUp(error=error):
            return _give_up(command, "failed", error)
        case Crashed():
            return _give_up(command, CRASHED, _crash_error(command))
        case Expired(error=error):
            return _expire(command, error or _expiry_error(command))
        case Cancelled(reason=reason):
            return Settlement(command, State.CANCELLED, "cancelled", error=ErrorInfo("Cancelled", reason))
        case Released(reason=reason, delay=delay):
            return _put_back(command, "released", ErrorInfo("Released", reason), delay)
        case HandlerMissing():
            return _without_handler(command)


def ending_of(command: Command) -> Outcome | None:
    """Return what a command comes to that was claimed for its ending alone, or None if an attempt is to run."""
    if command.ending is not None:
        error = _ending_error(command)
        return GivenUp(error) if command.ending is Ending.FAILED else Expired(error)
    if command.is_overdrawn:
        return Crashed()
    return Expired() if command.is_overdue else None


def recovered(settlement: Settlement, children: tuple[NewCommand, ...]) -> Settlement:
    """Add what the hook of an ending asked for."""
    recovery = Recovery(enqueued=len(children))
    return replace(settlement, children=settlement.children + children, recovery=recovery)


def hook_failed(settlement: Settlement, error: ErrorInfo, *, retryable: bool) -> Settlement:
    """Put a command back whose hook failed, to try the hook again; after many tries let it end without."""
    command = settlement.command
    tries = _hook_tries(command)
    if not retryable or tries + 1 >= MAX_HOOK_TRIES:
        return replace(settlement, recovery=Recovery(error=error))
    is_first = ending_of(command) is None
    return Settlement(
        command,
        State.SCHEDULED,
        settlement.outcome if is_first else HOOK_FAILED,
        error=settlement.error,
        delay=_longer_each_time(tries),
        ending=settlement.hook,
        hook_error=error,
    )


def soonest(due: Iterable[tuple[str, timedelta]]) -> dict[str, timedelta]:
    """Return the shortest delay of each queue."""
    shortest: dict[str, timedelta] = {}
    for queue, delay in due:
        shortest[queue] = min(delay, shortest.get(queue, delay))
    return shortest


def has_attempts_left(command: Command) -> bool:
    """Whether the budget of `retries` allows another attempt after the current one."""
    return command.attempt <= command.retries


def starting_state(delay: timedelta) -> State:
    """Return the state of a command that is to wait for `delay`."""
    return State.SCHEDULED if delay else State.PENDING


def first_state(command: NewCommand) -> State:
    """Return the state in which a command is stored."""
    if command.awaits:
        return State.WAITING
    return State.SCHEDULED if command.run_at else starting_state(command.delay)


def _repeat(command: Command, repeated: Repeated) -> Settlement:
    delay = command.extras.period or DEFAULT_PERIOD if repeated.delay is None else repeated.delay
    return Settlement(
        command,
        State.REPEATING if delay else State.PENDING,
        "repeating",
        result=repeated.result,
        delay=delay,
        opens_run=True,
        next_payload=repeated.payload,
    )


def _may_retry(command: Command, failed: Failed) -> bool:
    return failed.retryable and has_attempts_left(command)


def _retry(command: Command, failed: Failed, randomness: float) -> Settlement:
    delay = failed.delay
    if delay is None:
        delay = delay_before(command.backoff, command.attempt, randomness) if command.backoff else timedelta(0)
    return Settlement(command, starting_state(delay), failed.how, error=failed.error, delay=delay)


def _fail(command: Command, failed: Failed) -> Settlement:
    return _give_up(command, "failed" if failed.how == "retrying" else failed.how, failed.error)


def _give_up(command: Command, how: str, error: ErrorInfo) -> Settlement:
    state = State.DEAD_LETTER if command.dead_letter else State.FAILED
    return Settlement(command, state, how, error=error, children=unwind(command))


def _expire(command: Command, error: ErrorInfo) -> Settlement:
    return Settlement(command, State.EXPIRED, "expired", error=error, children=unwind(command))


def _put_back(command: Command, how: str, error: ErrorInfo, delay: timedelta) -> Settlement:
    return Settlement(command, starting_state(delay), how, error=error, delay=delay, gives_back=True)


def _without_handler(command: Command) -> Settlement:
    misses = sum(past.outcome == "handler_missing" for past in _this_life(command))
    error = ErrorInfo(
        "HandlerMissing", f"no handler named {command.name!r} is registered in the worker of queue {command.queue!r}"
    )
    if misses >= MAX_HANDLER_MISSES:
        return _give_up(command, "handler_missing", error)
    return _put_back(command, "handler_missing", error, _longer_each_time(misses))


def _longer_each_time(times: int) -> timedelta:
    """Return 1 s the first time, twice as long each further time, a minute at most."""
    return min(timedelta(seconds=2**times), _LONGEST_DELAY)


def _hook_tries(command: Command) -> int:
    """Return how many tries of its hook a command has behind it; a try whose worker vanished counts."""
    if ending_of(command) is None:
        return 0
    own = [past for past in _this_life(command) if past.attempt == command.attempt]
    return sum(past.hook_error is not None or past.outcome == CRASHED for past in own)


def _this_life(command: Command) -> Sequence[PastAttempt]:
    """Return the history since somebody revived the command, or all of it."""
    revivals = [place for place, past in enumerate(command.history, start=1) if past.revived_at is not None]
    return command.history[revivals[-1] :] if revivals else command.history


def _ending_error(command: Command) -> ErrorInfo:
    """Return why a command is to end: what was noted when its hook failed, or what became of what it waited for."""
    for past in reversed(_this_life(command)):
        if past.hook_error is not None and past.error is not None:
            return past.error
    failures = [child for child in command.children if child.state is not State.COMPLETED]
    return _children_error(command, len(failures)) if failures else _crash_error(command)


def _children_error(command: Command, failed: int) -> ErrorInfo:
    told = [
        f"{child.position} ({child.name} {child.id}) {child.state}"
        for child in command.children
        if child.state is not State.COMPLETED
    ]
    more = f" and {failed - 3} more" if failed > 3 else ""  # noqa: PLR2004  three are enough to begin looking
    return ErrorInfo(
        "ChildrenFailed",
        f"{failed} of the {len(command.children)} commands that it waited for did not complete: "
        + ", ".join(told[:3])
        + more,
    )


def _expiry_error(command: Command) -> ErrorInfo:
    if command.is_overdue and command.expires_at != command.deadline_at:
        return ErrorInfo("StartedTooLate", f"it had not started within {command.extras.start_within} of being due")
    return ErrorInfo("DeadlinePassed", f"it had not ended by its deadline, {command.deadline_at}")


def _crash_error(command: Command) -> ErrorInfo:
    crashes = sum(past.outcome == CRASHED for past in command.history)
    return ErrorInfo(
        "Crashed",
        f"the worker vanished during attempt {command.attempt} (crashes in all: {crashes}); "
        "look for a kill, an out-of-memory end or a timeout of its process",
    )
