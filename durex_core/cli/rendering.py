"""How values look on a terminal: moments, durations, JSON, and text that must not steer the terminal."""

import json
import os
import re
from datetime import UTC, datetime
from typing import Any

from rich.highlighter import JSONHighlighter
from rich.text import Text

from durex_core.model import State

_MOST_CHARACTERS = 2_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKERS = re.compile(r"\s*[\^~]+\s*")
_PLACE = re.compile(r'  File "(.+)", line (\d+), in (.+)')
_OWN = f"durex_core{os.sep}execution{os.sep}"
_GOOD = frozenset({"completed"})
_BAD = frozenset({"dead_letter", "expired", "failed", "hook_failed"})
_MINUTE = 60
_HOUR = 3600
_highlight = JSONHighlighter()


def moment(at: datetime, *, beside: datetime | None = None) -> str:
    """Return a moment in UTC to the millisecond; beside another one of the same day, only its time."""
    at = at.astimezone(UTC)
    same_day = beside is not None and beside.astimezone(UTC).date() == at.date()
    return at.strftime("%H:%M:%S." if same_day else "%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03}"


def duration(seconds: float) -> str:
    """Return a length of time as a person would say it: `12 ms`, `1.50 s`, `3 min 20 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s" if seconds == round(seconds) else f"{seconds:.2f} s"
    if seconds < _HOUR:
        return _two(seconds // _MINUTE, "min", seconds % _MINUTE, "s")
    return _two(seconds // _HOUR, "h", seconds % _HOUR // _MINUTE, "min")


def _two(larger: float, unit: str, smaller: float, small_unit: str) -> str:
    """Return a length of time in two units, or in one if nothing is left for the other."""
    rest = f" {smaller:.0f} {small_unit}" if round(smaller) else ""
    return f"{larger:.0f} {unit}{rest}"


def printable(text: str) -> str:
    """Return text with its control characters shown, so that none of them reaches the terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text: str) -> str:
    """Return text on one line, without control characters."""
    return " ".join(printable(text.replace("\r", "\n")).split())


def style(word: str) -> str:
    """Return the colour of a state or an event."""
    return "green" if word in _GOOD else "red" if word in _BAD else "cyan"


def state(of: State) -> Text:
    """Return a state in its colour."""
    return Text(of.value, style(of.value))


def value(plain: Any) -> Text:
    """Return a JSON value in colour, cut to a length that a person would read."""
    text = printable(json.dumps(plain, ensure_ascii=False, indent=2))
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} …"
    more = "" if cut == text else f"\n({len(text):,} characters in all; --json shows them)"
    return Text.assemble(_highlight(cut), (more, "dim"))


def last_frames(traceback: str | None, count: int) -> str:
    """Return the last frames of a traceback that are not durex's own; the error itself is left out."""
    frames: list[list[str]] = []
    for line in (traceback or "").splitlines():
        if line.startswith("  File "):
            frames.append([])
        if frames and line.startswith("  ") and not _MARKERS.fullmatch(line):
            frames[-1].append(line[2:])
    foreign = [frame for frame in frames if _OWN not in frame[0]]
    return printable("\n".join(line for frame in foreign[-count:] for line in frame))


def last_place(traceback: str | None) -> str | None:
    """Return where an error was raised, such as `shop/commands.py:12 in charge`."""
    places = _PLACE.findall(traceback or "")
    return printable("{}:{} in {}".format(*places[-1])) if places else None
