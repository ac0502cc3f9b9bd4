"""What was enqueued: reading it, matching it, and saying what there was instead."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from durex_core import strict_json
from durex_core.app import Durex
from durex_core.errors import InvalidSpec
from durex_core.model import Command
from durex_core.queries import MAX_LIMIT, Page

_MOST_SHOWN = 20


class Named(Protocol):
    """The handle of a command."""

    name: str


NameOrHandle = str | Named


class _Any:
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()


def everything(app: Durex) -> Iterator[Command]:
    """Yield all commands, live and finished, in the order of their creation; each run of those that repeat."""
    page = Page((), "")
    while page.next_cursor is not None:
        page = app.find(order_by="created_at", descending=False, limit=MAX_LIMIT, cursor=page.next_cursor or None)
        yield from page


def name_of(name_or_handle: NameOrHandle) -> str:
    """Return a command's name."""
    return name_or_handle if isinstance(name_or_handle, str) else name_or_handle.name


def matching(found: Sequence[Command], name: str, payload: Any, options: Mapping[str, Any]) -> list[Command]:
    """Return the commands with this name, payload and options.

    Raises:
        InvalidSpec: commands have no such option.
    """
    wanted = {"payload": _as_stored(payload), **options}
    return [
        command
        for command in found
        if command.name == name and all(_equals(value, _part(command, part)) for part, value in wanted.items())
    ]


def wanted_text(name: str, payload: Any, options: Mapping[str, Any]) -> str:
    """Say what was looked for."""
    wanted = {} if payload is ANY else {"payload": payload}
    parts = [f"{part}={value!r}" for part, value in (wanted | dict(options)).items()]
    return f"command {name!r}" + (f" with {', '.join(parts)}" if parts else "")


def listing(found: Sequence[Command], options: Mapping[str, Any] | None = None) -> str:
    """List commands, a line each, with the options that matter."""
    lines = [f"  {_line(command, options or {})}" for command in found[:_MOST_SHOWN]]
    more = len(found) - len(lines)
    return "\n".join([*lines, *([f"  and {more} more"] if more else [])]) or "  nothing"


def failure_text(command: Command) -> str:
    """Tell of a failed command all that is known."""
    error = command.error
    why = (error.traceback or f"{error.type}: {error.message}") if error else "for a reason that was not stored"
    return f"{_line(command, {})}, attempt {command.attempt}\n{why.rstrip()}"


def _line(command: Command, options: Mapping[str, Any]) -> str:
    parts = "".join(f" {part}={_part(command, part)!r}" for part in options)
    return f"{command.name} {command.payload!r}{parts} ({command.state})"


def _part(command: Command, part: str) -> Any:
    """Return what a command has of an option of its spec, or an attribute."""
    match part:
        case "delay":
            return command.ready_at - command.created_at
        case "run_at":
            return command.ready_at
    for holder in (command, command.extras):
        if hasattr(holder, part):
            return getattr(holder, part)
    raise InvalidSpec(part, "is nothing that a command has; use options of Spec, or attributes of Command")


def _equals(wanted: Any, actual: Any) -> bool:
    same_kind = tuple(wanted) if isinstance(wanted, list) and isinstance(actual, tuple) else wanted
    return bool(same_kind == actual)


def _as_stored(payload: Any) -> Any:
    """Return a payload in its JSON form; one that has none, such as a matcher, stays as it is."""
    try:
        return strict_json.plain(payload)
    except strict_json.NotPlainJson:
        return payload
