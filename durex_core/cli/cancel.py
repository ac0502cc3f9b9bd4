"""`durex cancel ID…` and `durex cancel --tag TAG`: end commands before they have run."""

from typing import Any
from uuid import UUID

import click

from durex_core.cli.filters import with_filters
from durex_core.cli.options import Session, with_session
from durex_core.cli.rendering import one_line
from durex_core.errors import CommandNotFound, NotAllowed
from durex_core.oversight import parse_id


@click.command()
@click.argument("command_ids", metavar="[ID]...", nargs=-1)
@with_filters
@click.option("--reason", metavar="TEXT", help="Is kept as the error of the commands.")
@with_session
def cancel(session: Session, *, command_ids: tuple[str, ...], filters: dict[str, Any], reason: str | None) -> None:
    """Cancel the commands with these ids, or all live ones that the options find.

    A running attempt goes on, but changes nothing any more. Of several ids, those that can be cancelled are, and the
    others make the exit code 1.
    """
    if bool(command_ids) == bool(filters):
        raise click.UsageError("name commands by their ids, or find them by at least one option such as --tag")
    cancelled, errors = _cancel(session, [parse_id(command_id) for command_id in command_ids], reason)
    if filters:
        cancelled = session.app.cancel_many(reason=reason, **filters)
    session.output.answer(
        {"cancelled": [str(command_id) for command_id in cancelled], "errors": errors},
        *(f"{command_id} cancelled" for command_id in cancelled),
        f"{len(cancelled)} cancelled",
    )
    for error in errors:
        click.echo(f"{click.style('error:', fg='red')} {error['message']}", err=True)
    if errors:
        click.get_current_context().exit(1)


def _cancel(session: Session, command_ids: list[UUID], reason: str | None) -> tuple[list[UUID], list[dict[str, str]]]:
    """Cancel one after another; return the ids of those that were, and why the others were not."""
    cancelled: list[UUID] = []
    errors: list[dict[str, str]] = []
    for command_id in command_ids:
        try:
            cancelled.append(session.app.cancel(command_id, reason).id)
        except (CommandNotFound, NotAllowed) as error:
            told = {"type": type(error).__name__, "message": one_line(str(error))}
            errors.append({"id": str(command_id)} | told)
    return cancelled, errors
