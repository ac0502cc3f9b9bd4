"""`durex show ID`: a command and its history."""

from datetime import timedelta

import click
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from durex_core.cli.options import Session, with_session
from durex_core.cli.rendering import duration, last_frames, last_place, moment, printable, state, style, value
from durex_core.model import Command, ErrorInfo, State
from durex_core.operations.describe import describe
from durex_core.rules.history import HistoryEvent, history_of

_FRAMES = 2


@click.command()
@click.argument("command_id", metavar="ID")
@with_session
def show(session: Session, command_id: str) -> None:
    """Show the command ID and what happened to it; times are in UTC."""
    command = session.app.get(command_id)
    session.output.answer(describe(command), _panel(command), _history(command))


def _panel(command: Command) -> Panel:
    title = Text.assemble((command.name, "bold"), "  ", state(command.state))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, said in _facts(command).items():
        if said is not None:
            facts.add_row(label, said)
    return Panel(facts, title=title, title_align="left", padding=(1, 2))


def _facts(command: Command) -> dict[str, Text | str | None]:
    """Return what is known of a command; None is left out."""
    return {
        "id": str(command.id),
        "queue": command.queue if command.queue != command.name else None,
        "attempt": f"{command.attempt} of {command.retries + 1}",
        "run": str(command.run) if command.run > 1 else None,
        "priority": str(command.priority) if command.priority else None,
        "timeout": _lasting(command.timeout),
        "deadline": moment(command.deadline_at) if command.deadline_at else None,
        "start within": _lasting(command.extras.start_within),
        "period": _lasting(command.extras.period),
        "tags": printable(", ".join(command.tags)) or None,
        "correlation id": _printable(command.correlation_id),
        "parent": str(command.parent_id) if command.parent_id else None,
        "unique key": _printable(command.unique_key),
        "idempotency key": _printable(command.idempotency_key),
        "sequence": ", ".join(command.sequence) or None,
        "trace": command.traceparent,
        "waits for": f"{command.awaits} commands" if command.awaits else None,
        "awaited by": str(command.join_id) if command.join_id else None,
        "created": moment(command.created_at),
        "ready": moment(command.ready_at) if command.state in (State.SCHEDULED, State.REPEATING) else None,
        "is to end as": command.ending.value if command.ending else None,
        "finished": _finished(command),
        "payload": value(command.payload) if command.payload is not None else None,
        "metadata": value(dict(command.metadata)) if command.metadata else None,
        "progress": value(command.progress) if command.progress is not None else None,
        "children": _children(command),
        "result": value(command.result) if command.result is not None else None,
        "error": _error(command.error) if command.error else None,
    }


def _lasting(time: timedelta | None) -> str | None:
    return duration(time.total_seconds()) if time else None


def _children(command: Command) -> Text | None:
    """List the commands that it waited for."""
    if not command.children:
        return None
    lines = [Text.assemble(f"{child.id}  {printable(child.name)}  ", state(child.state)) for child in command.children]
    return Text("\n").join(lines)


def _finished(command: Command) -> str | None:
    if command.finished_at is None:
        return None
    lasted = (command.finished_at - command.created_at).total_seconds()
    return f"{moment(command.finished_at)}, {duration(lasted)} after it was created"


def _history(command: Command) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("at (UTC)", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("attempt", justify="right")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for event in history_of(command):
        table.add_row(*_row(command, event))
    return table


def _row(command: Command, event: HistoryEvent) -> tuple[str | Text | Group, ...]:
    return (
        moment(event.at, beside=command.created_at),
        Text(event.event, style(event.event)),
        str(event.attempt or ""),
        "" if event.duration_seconds is None else duration(event.duration_seconds),
        _said(event.error, last_place(event.error.traceback))
        if event.error
        else Text(printable(event.message or ""), "dim"),
    )


def _error(error: ErrorInfo) -> Text:
    return _said(error, last_frames(error.traceback, _FRAMES))


def _said(error: ErrorInfo, places: str | None) -> Text:
    said = f"{error.type}: {error.message}" if error.message else error.type
    return Text.assemble((printable(said), "red"), (f"\n{places}" if places else "", "dim"))


def _printable(text: str | None) -> str | None:
    return None if text is None else printable(text)
