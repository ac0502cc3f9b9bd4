"""Sagas: undoing the steps of a command that failed for good, the last one first."""

from dataclasses import replace

from durex_core.model import Command, Compensation, NewCommand


def unwind(command: Command) -> tuple[NewCommand, ...]:
    """Return the commands that undo the steps behind a command, each waiting for the one before.

    One that fails for good does not keep the others from running: it waits for a person, as any dead letter does.
    """
    undoing = [compensation.command for compensation in reversed(command.compensations)]
    following = [*undoing[1:], None]
    return tuple(
        _link(step, command, awaits=int(position > 0), then=following[position])
        for position, step in enumerate(undoing)
    )


def registered(known: tuple[Compensation, ...], key: str, command: NewCommand) -> tuple[Compensation, ...]:
    """Add a compensation, or replace the one of the same key where it stands: the step was done again."""
    new = Compensation(key, command)
    if any(compensation.key == key for compensation in known):
        return tuple(new if compensation.key == key else compensation for compensation in known)
    return (*known, new)


def inherited(command: Command) -> tuple[Compensation, ...]:
    """Return the compensations that the next command of a sequence takes over; its own keys begin anew."""
    return tuple(replace(known, key=f"{command.id}:{known.key}") for known in command.compensations)


def _link(step: NewCommand, failed: Command, *, awaits: int, then: NewCommand | None) -> NewCommand:
    extras = replace(
        step.extras,
        traceparent=failed.traceparent,
        join_position=0 if then else None,
        allow_failures=bool(awaits),
    )
    return replace(
        step,
        parent_id=failed.id,
        correlation_id=failed.correlation_id or str(failed.id),
        extras=extras,
        join_id=then.id if then else None,
        awaits=awaits,
    )
