"""The life of a command: which states follow which, and what the end of an attempt leads to.

`docs/lifecycle.md` draws `TRANSITIONS`; a test compares the two. `decide` is the one place that turns what happened in
an attempt into what is stored. It reads no clock: it returns delays, and the database adds them to its own time.
"""

from datetime import timedelta

from durex_core.model import CRASHED, DEFAULT_PERIOD, Command, ErrorInfo, NewCommand, State
from durex_core.rules.backoff import delay_before, longer_each_time
from durex_core.rules.endings import crash_error, ending_of, expiry_error, this_life
from durex_core.rules.outcomes import (
    Cancelled,
    Crashed,
    Expired,
    Failed,
    GivenUp,
    HandlerMissing,
    Outcome,
    Released,
    Repeated,
    Returned,
    Settlement,
)
from durex_core.rules.saga import unwind

_COMPLETED = State.COMPLETED  # most end so, and to look it up takes a while
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

LIMITED_DELAY = timedelta(seconds=1)
"""How long a command waits that a worker took but may not start yet, because of its own limits."""


def decide(command: Command, outcome: Outcome, randomness: float) -> Settlement:  # noqa: PLR0911  one for each outcome
    """Turn what happened in an attempt into what is stored; `randomness` in [0, 1) spreads jittered backoff."""
    match ending_of(command) or outcome:
        case Returned(result=result, children=children):
            return Settlement(command, _COMPLETED, "completed", result, None, children)
        case Repeated() as repeated:
            return _repeat(command, repeated)
        case Failed() as failed:
            return _retry(command, failed, randomness) if _may_retry(command, failed) else _fail(command, failed)
        case GivenUp(error=error):
            return _give_up(command, "failed", error)
        case Crashed():
            return _give_up(command, CRASHED, crash_error(command))
        case Expired(error=error):
            return _expire(command, error or expiry_error(command))
        case Cancelled(reason=reason):
            return Settlement(command, State.CANCELLED, "cancelled", error=ErrorInfo("Cancelled", reason))
        case Released(reason=reason, delay=delay):
            return _put_back(command, "released", ErrorInfo("Released", reason), delay)
        case HandlerMissing():
            return _without_handler(command)


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
    misses = sum(past.outcome == "handler_missing" for past in this_life(command))
    error = ErrorInfo(
        "HandlerMissing", f"no handler named {command.name!r} is registered in the worker of queue {command.queue!r}"
    )
    if misses >= MAX_HANDLER_MISSES:
        return _give_up(command, "handler_missing", error)
    return _put_back(command, "handler_missing", error, longer_each_time(misses))
