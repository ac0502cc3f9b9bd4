"""The tables of `docs/commands.md` are complete."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from durex_core import AsyncContext, Context, results
from durex_core.handlers.handler import HandlerOptions
from durex_core.observer import Observer
from durex_core.spec import CommandOptions, SpecOptions

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()

_NAME = re.compile(r"`([a-z_]+)")


def rows(header: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the table that begins with a header."""
    _, _, after = PAGE.partition(f"\n| {header} |")
    assert after, f"there is no table of {header}"
    for line in after.splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("column", "options"),
    [
        (1, CommandOptions.__optional_keys__),
        (2, HandlerOptions.__optional_keys__ | {"payload", "replace"}),
        (3, SpecOptions.__optional_keys__),
    ],
    ids=["app", "handler", "spec"],
)
def test_every_option_is_told_with_where_it_may_be_set(column, options):
    assert {name for cells in rows("option") if cells[column] for name in _NAME.findall(cells[0])} == options


def test_every_result_is_told():
    told = {name for cells in rows("returned") for name in re.findall(r"`([A-Z]\w+)\(", cells[0])}
    classes = [value for value in vars(results).values() if isinstance(value, type)]
    assert told == {one.__name__ for one in classes if one.__module__ == results.__name__} - {"_Unchanged"}


@pytest.mark.parametrize("context", [Context, AsyncContext])
def test_everything_that_a_context_is_for_is_told(context):
    told = {name for cells in rows("of `ctx`") for name in _NAME.findall(cells[0])}
    inside = {"cancel", "ends_in", "lose_lease", "has_lost_lease", "is_for_coroutines"}
    assert told == {name for name in dir(context) if not name.startswith("_")} - inside


def test_everything_that_an_observer_hears_of_is_told():
    told = PAGE[PAGE.index("An `Observer` hears of more") :]
    assert {name for name in vars(Observer) if not name.startswith("_")} <= set(_NAME.findall(told))
