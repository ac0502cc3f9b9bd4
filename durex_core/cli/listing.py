"""`durex list`: commands by what is known of them."""

from typing import Any

import click
from rich.table import Table
from rich.text import Text

from durex_core.cli.filters import with_filters
from durex_core.cli.options import Session, with_session
from durex_core.cli.rendering import moment, one_line, printable, state
from durex_core.model import Command
from durex_core.operations.describe import describe_page
from durex_core.queries import DEFAULT_LIMIT, Order, Page

_MOST_CHARACTERS = 200
_NARROWEST_REMARK = 20
_TO_THE_SECOND = len("2026-01-31 12:00:00")


@click.command("list")
@with_filters
@click.option(
    "--order-by",
    type=click.Choice([order.value for order in Order]),
    default=Order.CREATED_AT.value,
    show_default=True,
    help="What the listing is ordered by.",
)
@click.option("--ascending", is_flag=True, help="The smallest first.")
@click.option("--limit", type=int, default=DEFAULT_LIMIT, show_default=True, metavar="N", help="The most commands.")
@click.option("--cursor", metavar="TEXT", help="Go on where a listing ended.")
@with_session
def list_commands(session: Session, *, filters: dict[str, Any], ascending: bool, **options: Any) -> None:
    """List commands, live and finished ones, the newest first.

    Options that are repeated allow one of several values. Times are in UTC.
    """
    page = session.app.find(descending=not ascending, **filters, **options)
    session.output.answer(describe_page(page), *_readable(page))


def _readable(page: Page) -> list[Table | str]:
    if not page.commands:
        return ["no commands were found"]
    more = [f"there are more; go on with --cursor {page.next_cursor}"] if page.next_cursor else []
    return [_table(page), *more]


def _table(page: Page) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("id", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("created (UTC)", no_wrap=True)
    table.add_column("", overflow="fold", min_width=_NARROWEST_REMARK)
    for command in page:
        table.add_row(*_row(command))
    return table


def _row(command: Command) -> tuple[str | Text, ...]:
    return (
        str(command.id),
        printable(command.name),
        state(command.state),
        moment(command.created_at)[:_TO_THE_SECOND],
        Text(_remark(command), "dim"),
    )


def _remark(command: Command) -> str:
    """Say what a person would ask next."""
    if command.error:
        return one_line(f"{command.error.type}: {command.error.message}")[:_MOST_CHARACTERS]
    return f"run {command.run}" if command.run > 1 else ""
