"""What the demonstration shows: the requests as they go out, the orders as they move, and how it all ended."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from durex_core.cli.rendering import duration, last_place
from durex_core.model import State
from functions.commands.demo.client import Answer
from functions.commands.demo.orders import STAGES, Flow, Journey, Sent

_STYLES = {State.COMPLETED: "green", State.DEAD_LETTER: "red", State.STARTED: "cyan"}


def greeting(url: str) -> Text:
    """Return what stands at the top."""
    return Text.assemble(
        ("durex demo", "bold"),
        ("  API, worker and SQLite in one process, at ", "dim"),
        (f"{url}\n", "cyan"),
        ("Each order is a chain of commands: process_order → reserve → charge → ship.\n", "dim"),
        ("A parcel that is refused for good is undone backwards: refund, then restock.\n", "dim"),
    )


def request_line(sent: Sent) -> Text:
    """Return one line about a request and its answer."""
    said, style = _said(sent.answer)
    return Text.assemble(
        ("POST ", "dim"),
        f"{sent.name:<15}{sent.about:<34}",
        (f"{sent.answer.status} {said:<10}", style),
        (f"{duration(sent.answer.seconds):>7}", "dim"),
    )


def board(flow: Flow) -> RenderableType:
    """Return where every command stands."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("order", width=6)
    for stage, width in zip(STAGES, (13, 15, 18, 11), strict=True):
        table.add_column(stage, width=width, no_wrap=True)
    table.add_column("in all", width=7, justify="right")
    for journey in flow.orders:
        cells = [_cell(command) for command in journey.commands]
        rest = [Text("·", "dim")] * (len(STAGES) - len(cells))
        table.add_row(journey.label, *cells, *rest, duration(journey.seconds) if journey.is_over else "")
        if journey.undoing:
            table.add_row(Text("undone", "yellow"), *_undoing(journey.undoing))
    failing = [Text.assemble(f"{flow.failure.label:<14}", _end(flow.failure.commands[0]))] if flow.failure else []
    return Padding(Group(table, *failing, Text(), _tally(flow)), (1, 0, 0, 0))


def outcome(flow: Flow, seconds: float) -> RenderableType:
    """Return what was seen, in words and numbers, and what did not end as it should."""
    faults = flow.faults()
    ending = (
        Text("\n".join(f"✘ {fault}" for fault in faults), "bold red")
        if faults
        else Text(f"✔ Everything ended as it should, in {duration(seconds)}.", "bold green")
    )
    return Padding(Group(_summary(flow), Text(), ending), (1, 0, 0, 0))


def serving(url: str, line: str) -> Text:
    """Return where the demonstration is found while it goes on serving."""
    return Text.assemble(
        ("\nStill serving at ", "dim"), (url, "cyan"), (", docs at ", "dim"), (f"{url}/docs", "cyan"), "\n",
        ("Send an order, then look at it with GET /v1/commands/{id}; Ctrl-C ends it:\n", "dim"), (line, "green"),
    )  # fmt: skip


def _said(answer: Answer) -> tuple[str, str]:
    match answer.status:
        case HTTPStatus.CREATED:
            return "created", "green"
        case HTTPStatus.OK:
            return "existed", "yellow"
        case _:
            return "refused", "red"


def _cell(command: dict[str, Any]) -> Text:
    """Return a command in a few words."""
    state, attempt = State(command["state"]), command["attempt"]
    failures = [event for event in command["history"] if event["event"] == "failed"]
    match state:
        case State.COMPLETED:
            said = f"✔ {duration(command['history'][-1]['duration_seconds'])}"
            said += f", attempt {attempt}" if attempt > 1 else ""
        case State.STARTED:
            said = f"▶ attempt {attempt}"
        case State.DEAD_LETTER:
            said = "✘ for good"
        case _:
            said = f"↻ attempt {attempt} failed" if failures else f"○ {state.value}"
    return Text(said, _STYLES.get(state, "yellow"))


def _end(command: dict[str, Any]) -> Text:
    """Return a command that stands by itself, in more words."""
    if command["state"] != State.DEAD_LETTER:
        return _cell(command)
    return Text(f"✘ in the dead letter queue after {command['attempt']} attempts", _STYLES[State.DEAD_LETTER])


def _undoing(commands: list[dict[str, Any]]) -> list[Text]:
    """Return the cells of what undoes an order: each stands below the stage that it undoes."""
    below = {"restock": "reserve", "refund": "charge"}
    cells = {below.get(command["name"]): _undo(command) for command in commands}
    return [cells.get(stage, Text("◀" if stage == STAGES[-1] else "", "dim")) for stage in STAGES]


def _undo(command: dict[str, Any]) -> Text:
    state = State(command["state"])
    mark = {State.COMPLETED: "✔", State.STARTED: "▶", State.DEAD_LETTER: "✘"}.get(state, "○")
    took = duration(command["history"][-1]["duration_seconds"]) if state is State.COMPLETED else ""
    return Text(f"{command['name']} {mark} {took}".rstrip(), _STYLES.get(state, "yellow"))


def _tally(flow: Flow) -> Text:
    """Return how many commands stand in each state."""
    counted = Counter(State(command["state"]) for journey in flow.journeys for command in journey.all)
    parts = [(f"{counted[state]} {state.value}   ", _STYLES.get(state, "yellow")) for state in State if counted[state]]
    return Text.assemble((f"{counted.total()} commands:  ", "dim"), *parts)


def _summary(flow: Flow) -> Table:
    summary = Table.grid(padding=(0, 2))
    summary.add_column(style="bold", no_wrap=True)
    summary.add_column()
    posts = [answer.seconds for answer in flow.enqueued]
    summary.add_row("enqueue", f"a POST took {_spread(posts)}; its answer means: stored for good")
    summary.add_row("orders", _orders(flow))
    for journey in flow.undone:
        summary.add_row("undone", _undone(journey))
    if flow.again:
        summary.add_row("sent twice", f"one Idempotency-Key, one command: {flow.again.status}, {_created(flow.again)}")
    if flow.refused:
        summary.add_row("refused", f"{flow.refused.status} {flow.refused.body.get('detail')}")
    if flow.failure:
        summary.add_row("dead letter", _history(flow.failure.commands[0]))
    return summary


def _created(answer: Answer) -> str:
    return f"created: {json.dumps(answer.body.get('created'))}"


def _orders(flow: Flow) -> str:
    shipped = [journey for journey in flow.orders if journey.is_completed]
    smooth = [journey.seconds for journey in shipped if not journey.was_declined]
    declined = [journey.seconds for journey in shipped if journey.was_declined]
    said = f"{len(shipped)} of {len(flow.orders)} shipped"
    said += f", each in {_spread(smooth)}" if smooth else ""
    return said + (f",\nor {_spread(declined)} where the bank declined once" if declined else "")


def _undone(journey: Journey) -> Text:
    """Say why an order was undone, and in which order."""
    last = journey.commands[-1]
    steps = " and then ".join(command["name"] for command in journey.undoing or [])
    return Text.assemble((last["error"]["message"], "red"), f"\n{last['name']} failed for good, so {steps} followed")


def _spread(seconds: Sequence[float]) -> str:
    return f"{duration(median(seconds))} ({duration(max(seconds))} at most)"


def _history(command: dict[str, Any]) -> RenderableType:
    """Return the history of a command, its times counted from its creation, and its error."""
    start = datetime.fromisoformat(command["created_at"])
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(justify="right", style="dim")
    for event in command["history"]:
        at = (datetime.fromisoformat(event["at"]) - start).total_seconds()
        attempt = f"attempt {event['attempt']}" if event["attempt"] else ""
        table.add_row(f"+{duration(at)}", Text(event["event"], _STYLES.get(event["event"], "")), attempt)
    error = command["error"] or {"type": "no error", "message": "", "traceback": None}
    place = Text(f"  at {_near(last_place(error['traceback']))}", "dim")
    return Group(table, Text(f"{error['type']}: {error['message']}", "red"), place)


def _near(place: str | None) -> str:
    """Shorten a place in a file to where it lies from here."""
    return (place or "an unknown place").removeprefix(f"{Path.cwd()}{os.sep}")
