"""What follows a command: the commands that its handler, or the hook of its ending, asked for."""

import inspect
from dataclasses import replace
from datetime import timedelta
from typing import Any

from durex_core.errors import DurexError, InvalidResult, InvalidSpec
from durex_core.ids import new_id
from durex_core.model import MAX_CHILDREN, Command, NewCommand
from durex_core.registry import Registry
from durex_core.results import UNCHANGED, ContinueSequence, Next, Spawn, SpawnThen
from durex_core.rules.saga import inherited
from durex_core.spec import MAX_DELAY, Spec

Following = tuple[Any, tuple[NewCommand, ...]]


def children_of(registry: Registry, command: Command, value: Any) -> Following:
    """Return a handler's result, and the commands that follow it.

    Raises:
        InvalidSpec: one of them was refused.
        InvalidResult: the result is not plain JSON, or too large.
    """
    match value:
        case Next(spec=spec, result=result):
            return plain_result(registry, result), (registry.prepare(spec, new_id(), parent=command),)
        case Spawn(specs=specs, result=result):
            return plain_result(registry, result), _spawned(registry, command, specs)
        case SpawnThen(result=result):
            return plain_result(registry, result), _joined(registry, command, value)
        case ContinueSequence(data=data):
            return plain_result(registry, data or None), _continued(registry, command, data)
        case _ if inspect.iscoroutine(value):
            value.close()
            raise InvalidResult("the handler returned a coroutine; declare it with `async def`, or await what it calls")
        case _:
            return plain_result(registry, value), ()


def plain_result(registry: Registry, result: Any) -> Any:
    """Return a result as plain JSON.

    Raises:
        InvalidResult: it is none, or too large.
    """
    try:
        return registry.plain_payload(result)
    except DurexError as error:
        msg = f"the handler's result was refused: {str(error).replace('payload', 'result')}"
        raise InvalidResult(msg) from None


def next_payload(registry: Registry, command: Command, payload: Any) -> Any:
    """Return the payload of a command's next run, checked as at enqueue.

    Raises:
        InvalidPayload: the handler could not take it.
    """
    if payload is UNCHANGED:
        return UNCHANGED
    plain = registry.plain_payload(payload)
    handler = registry.get(command.name)
    if handler is not None:
        handler.check(plain)
    return plain


def checked_delay(result: str, delay: timedelta) -> timedelta:
    """Return the delay that a handler's result names.

    Raises:
        InvalidResult: it is none, negative, or longer than a command may be delayed.
    """
    if not isinstance(delay, timedelta):
        raise InvalidResult(f"{result}: {delay!r} is no delay; give a timedelta")
    if not timedelta(0) <= delay <= MAX_DELAY:
        raise InvalidResult(f"{result}: a delay of {delay} is out of bounds; it is at least zero, at most {MAX_DELAY}")
    return delay


def check_waited_for(which: str, spec: Spec, *options: str) -> None:
    """Refuse what is no spec, and what another command that waits for it could not bear.

    Keys could have another command stand for it; of the one that waits the others decide when it is due.

    Raises:
        InvalidSpec: the spec sets one of the options, or a key.
    """
    if not isinstance(spec, Spec):
        raise InvalidSpec(which, f"{spec!r:.100} is no Spec; a handle's spec(…) makes one")
    for option in ("unique_key", "idempotency_key", *options):
        if getattr(spec, option) is not None:
            raise InvalidSpec(f"{which}.{option}", "cannot be had where another command waits for this very one")


def _spawned(registry: Registry, command: Command, specs: tuple[Spec, ...]) -> tuple[NewCommand, ...]:
    return tuple(registry.prepare(spec, new_id(), parent=command) for spec in specs)


def _joined(registry: Registry, command: Command, joined: SpawnThen) -> tuple[NewCommand, ...]:
    """Return what `SpawnThen` starts: the commands, and the one that waits for them."""
    if len(joined.specs) > MAX_CHILDREN:
        raise InvalidResult(f"SpawnThen takes at most {MAX_CHILDREN} specs, not {len(joined.specs)}; spawn in stages")
    check_waited_for("then", joined.then, "delay", "run_at")
    then = registry.prepare(
        joined.then, new_id(), parent=command, awaits=len(joined.specs), allow_failures=joined.allow_failures
    )
    return (then, *(_part(registry, command, then, *placed) for placed in enumerate(joined.specs)))


def _part(registry: Registry, command: Command, then: NewCommand, position: int, spec: Spec) -> NewCommand:
    check_waited_for(f"specs[{position}]", spec)
    return registry.prepare(spec, new_id(), parent=command, join_id=then.id, join_position=position)


def _continued(registry: Registry, command: Command, data: dict[str, Any]) -> tuple[NewCommand, ...]:
    """Return the next command of a sequence.

    It takes over the payload so far, what there is to undo, and the join that the sequence reports to.
    """
    if not command.sequence:
        return ()
    if not isinstance(command.payload, dict | None):
        raise InvalidResult(
            "ContinueSequence adds to a payload that is a JSON object, and this one is"
            f" {type(command.payload).__name__}; return Next(spec) instead"
        )
    name, *rest = command.sequence
    spec = Spec(name, {**(command.payload or {}), **data}, sequence=tuple(rest))
    following = registry.prepare(
        spec, new_id(), parent=command, join_id=command.join_id, join_position=command.extras.join_position
    )
    return (replace(following, compensations=inherited(command)),)
