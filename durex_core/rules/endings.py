"""Endings: what is left to do for a command whose attempts are over, and what becomes of the hook of its ending."""

from collections.abc import Sequence
from dataclasses import replace

from durex_core.model import CRASHED, HOOK_FAILED, Command, Ending, ErrorInfo, NewCommand, PastAttempt, Recovery, State
from durex_core.rules.backoff import longer_each_time
from durex_core.rules.outcomes import Crashed, Expired, GivenUp, Outcome, Settlement

MAX_HOOK_TRIES = 10
"""How often the hook of an ending is tried before the command ends without it."""


def ending_of(command: Command) -> Outcome | None:
    """Return what a command comes to that was claimed for its ending alone, or None if an attempt is to run."""
    if command.ending is not None:
        error = _ending_error(command)
        return GivenUp(error) if command.ending is Ending.FAILED else Expired(error)
    # Most have neither a past nor a time by which they expire, and every command is asked twice.
    if command.history and command.is_overdrawn:
        return Crashed()
    return Expired() if command.expires_at is not None and command.is_overdue else None


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
        delay=longer_each_time(tries),
        ending=settlement.hook,
        hook_error=error,
    )


def this_life(command: Command) -> Sequence[PastAttempt]:
    """Return the history since somebody revived the command, or all of it."""
    revivals = [place for place, past in enumerate(command.history, start=1) if past.revived_at is not None]
    return command.history[revivals[-1] :] if revivals else command.history


def crash_error(command: Command) -> ErrorInfo:
    """Return why a command failed whose worker vanished in its last attempt."""
    crashes = sum(past.outcome == CRASHED for past in command.history)
    return ErrorInfo(
        "Crashed",
        f"the worker vanished during attempt {command.attempt} (crashes in all: {crashes}); "
        "look for a kill, an out-of-memory end or a timeout of its process",
    )


def expiry_error(command: Command) -> ErrorInfo:
    """Return why a command expired."""
    if command.is_overdue and command.expires_at != command.deadline_at:
        return ErrorInfo("StartedTooLate", f"it had not started within {command.extras.start_within} of being due")
    return ErrorInfo("DeadlinePassed", f"it had not ended by its deadline, {command.deadline_at}")


def _hook_tries(command: Command) -> int:
    """Return how many tries of its hook a command has behind it; a try whose worker vanished counts."""
    if ending_of(command) is None:
        return 0
    own = [past for past in this_life(command) if past.attempt == command.attempt]
    return sum(past.hook_error is not None or past.outcome == CRASHED for past in own)


def _ending_error(command: Command) -> ErrorInfo:
    """Return why a command is to end: what was noted when its hook failed, or what became of what it waited for."""
    for past in reversed(this_life(command)):
        if past.hook_error is not None and past.error is not None:
            return past.error
    failures = [child for child in command.children if child.state is not State.COMPLETED]
    return _children_error(command, len(failures)) if failures else crash_error(command)


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
