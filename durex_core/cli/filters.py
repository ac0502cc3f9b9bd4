"""The options that narrow a listing, which `durex list` and `durex cancel` share."""

import functools
import json
from collections.abc import Callable
from typing import Any

import click

from durex_core.cli.options import Moment
from durex_core.model import State

_OPTIONS = (
    click.option("--state", multiple=True, type=click.Choice([state.value for state in State]), help="In this state."),
    click.option("--name", multiple=True, metavar="NAME", help="Of this name."),
    click.option("--queue", multiple=True, metavar="Q", help="In this queue."),
    click.option("--tag", multiple=True, metavar="TAG", help="With this tag; with all of them, if repeated."),
    click.option("--parent", "parent_id", metavar="ID", help="Enqueued by this command."),
    click.option("--correlation-id", metavar="TEXT", help="Belonging to this piece of business."),
    click.option("--unique-key", metavar="TEXT", help="With this unique key."),
    click.option(
        "--created-after",
        type=Moment(),
        metavar="MOMENT",
        help="Created at this moment or later, such as 2026-01-31T12:00Z.",
    ),
    click.option("--created-before", type=Moment(), metavar="MOMENT", help="Created before this moment."),
    click.option(
        "--payload",
        multiple=True,
        metavar="PATH=TEXT",
        help="With this text in its payload, such as order.id=42; PATH:=JSON for other values.",
    ),
)


def with_filters(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters, as keywords that `Durex.find` takes: `filters`."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        given = {name: options.pop(name) for name in _NAMES}
        function(*arguments, filters=_filters(given), **options)

    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


_NAMES = (
    *("state", "name", "queue", "tag", "parent_id", "correlation_id", "unique_key"),
    *("created_after", "created_before", "payload"),
)


def _filters(given: dict[str, Any]) -> dict[str, Any]:
    """Return the filters that were given; an empty text is one of them, and refused later."""
    filters: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None and value != ()
    }
    if "payload" in filters:
        filters["payload"] = _conditions(filters["payload"])
    return filters


def _conditions(texts: list[str]) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    for path, value in map(_condition, texts):
        if path in conditions:
            raise click.BadParameter(f"{path!r} is given twice, and has but one value", param_hint="--payload")
        conditions[path] = value
    return conditions


def _condition(text: str) -> tuple[str, Any]:
    path, sign, value = text.partition("=")
    if not sign:
        raise click.BadParameter(f"{text!r} says no value; write PATH=TEXT or PATH:=JSON", param_hint="--payload")
    if not path.endswith(":"):
        return path, value
    try:
        return path[:-1], json.loads(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not JSON; write PATH=TEXT for a text", param_hint="--payload") from None
