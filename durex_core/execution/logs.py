"""What the log says of the ends of attempts."""

import logging

from durex_core.model import State
from durex_core.rules.outcomes import Settlement

_FOR_GOOD = (State.DEAD_LETTER, State.FAILED, State.EXPIRED)

_log = logging.getLogger("durex_core.execution")


def log_end(settlement: Settlement) -> None:
    """Tell how an attempt ended; a failure for good is a warning."""
    command, error = settlement.command, settlement.hook_error or settlement.error
    is_for_good = error and (settlement.state in _FOR_GOOD or settlement.hook_error)
    level = logging.WARNING if is_for_good else logging.INFO
    if not _log.isEnabledFor(level):
        return
    why = f": {error.type}: {error.message}" if error else ""
    ending = settlement.state if settlement.state.is_terminal else settlement.outcome
    ending = "its hook failed" if settlement.hook_error else ending
    _log.log(level, "%s %s attempt %s: %s%s", command.name, command.id, command.attempt, ending, why)


def log_loss(settlement: Settlement, error: BaseException | None) -> None:
    """Tell of an end that was not taken."""
    command = settlement.command
    _log.warning(
        "command %s (%s), attempt %s: %s; its outcome (%s) was not taken: unless it is stored, the command runs again",
        command.id,
        command.name,
        command.attempt,
        error or f"lease {command.lease_number} was lost",
        settlement.outcome,
    )
