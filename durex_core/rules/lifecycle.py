"""The life of a command: which states follow which, and what the end of an attempt leads to.

`docs/lifecycle.md` draws `TRANSITIONS`; a test compares the two. `decide` is the one place that turns what happened in
an attempt into what is stored. It reads no clock: it returns delays, and the database adds them to its own time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from durex_core.model import Command, ErrorInfo, NewCommand, State
from durex_core.rules.backoff import delay_before

TRANSITIONS: dict[State | None, frozenset[State]] = {
    None: frozenset({State.PENDING, State.SCHEDULED}),
    State.SCHEDULED: frozenset({State.PENDING, State.STARTED}),
    State.PENDING: frozenset({State.STARTED}),
    State.STARTED: frozenset(
        {State.PENDING, State.SCHEDULED, State.STARTED, State.COMPLETED, State.DEAD_LETTER, State.FAILED}
    ),
}
"""From each state, the states that may follow; None stands for "not stored yet". Terminal states have no entry.

`started → started` is a claim that takes over an expired lease.
"""

MAX_HANDLER_MISSES = 10
"""How often a command whose handler is unknown is put back, in case a deployment is still rolling out."""

_LONGEST_MISS_DELAY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned: a result, and the commands to enqueue with it."""

    result: Any = None
    children: tuple[NewCommand, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, or ran out of time (`how="timed_out"`)."""

    error: ErrorInfo
    retryable: bool = True
    how: Literal["failed", "timed_out"] = "failed"


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker vanished and took the last attempt of the budget with it."""


@dataclass(frozen=True, slots=True)
class Released:
    """The worker gives the command back unfinished; the attempt does not count."""

    reason: str


@dataclass(frozen=True, slots=True)
class HandlerMissing:
    """This worker knows no handler of that name."""


Outcome = Returned | Failed | Crashed | Released | HandlerMissing


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the store is to write at the end of an attempt, if the attempt still holds its lease.

    A terminal `state` moves the row to the finished ones. Any other puts it back after `delay`, with a line of history
    that says how the attempt ended (`outcome`); `gives_back` takes the attempt off the count again.
    """

    command: Command
    state: State
    outcome: str
    result: Any = None
    error: ErrorInfo | None = None
    children: tuple[NewCommand, ...] = ()
    delay: timedelta = timedelta(0)
    gives_back: bool = False

    @property
    def wakes(self) -> dict[str, timedelta]:
        """The queues that have work because of this settlement, and how long from now."""
        own = [] if self.state.is_terminal else [(self.command.queue, self.delay)]
        return soonest(own + [(child.queue, child.delay) for child in self.children])


def decide(command: Command, outcome: Outcome, randomness: float) -> Settlement:
    """Turn what happened in an attempt into what is stored; `randomness` in [0, 1) spreads jittered backoff."""
    if command.is_overdrawn:
        outcome = Crashed()
    match outcome:
        case Returned(result=result, children=children):
            return Settlement(command, State.COMPLETED, "completed", result=result, children=children)
        case Failed(error=error, retryable=retryable, how=how):
            if retryable and has_attempts_left(command):
                return _retry(command, how, error, randomness)
            return _give_up(command, how, error)
        case Crashed():
            return _give_up(command, "crashed", _crash_error(command))
        case Released(reason=reason):
            return _put_back(command, "released", ErrorInfo("Released", reason), timedelta(0))
        case HandlerMissing():
            return _without_handler(command)


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


def _retry(command: Command, how: str, error: ErrorInfo, randomness: float) -> Settlement:
    delay = delay_before(command.backoff, command.attempt, randomness) if command.backoff else timedelta(0)
    return Settlement(command, starting_state(delay), how, error=error, delay=delay)


def _give_up(command: Command, how: str, error: ErrorInfo) -> Settlement:
    state = State.DEAD_LETTER if command.dead_letter else State.FAILED
    return Settlement(command, state, how, error=error)


def _put_back(command: Command, how: str, error: ErrorInfo, delay: timedelta) -> Settlement:
    return Settlement(command, starting_state(delay), how, error=error, delay=delay, gives_back=True)


def _without_handler(command: Command) -> Settlement:
    misses = sum(past.outcome == "handler_missing" for past in command.history)
    error = ErrorInfo(
        "HandlerMissing", f"no handler named {command.name!r} is registered in the worker of queue {command.queue!r}"
    )
    if misses >= MAX_HANDLER_MISSES:
        return _give_up(command, "handler_missing", error)
    return _put_back(command, "handler_missing", error, min(timedelta(seconds=2**misses), _LONGEST_MISS_DELAY))


def _crash_error(command: Command) -> ErrorInfo:
    crashes = sum(past.outcome == "crashed" for past in command.history)
    return ErrorInfo(
        "Crashed",
        f"the worker vanished during attempt {command.attempt} (crashes in all: {crashes}); "
        "look for a kill, an out-of-memory end or a timeout of its process",
    )
