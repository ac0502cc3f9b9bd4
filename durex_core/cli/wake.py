"""`durex wake QUEUE`: tell workers that there is work."""

import click

from durex_core.cli.options import Session, with_session
from durex_core.cli.rendering import printable


@click.command()
@click.argument("queue", metavar="QUEUE")
@with_session
def wake(session: Session, queue: str) -> None:
    """Tell the workers of QUEUE that it has work, which was stored without durex."""
    session.app.wake_queue(queue)
    session.output.answer({"queue": queue}, f"the workers of {printable(queue)} were told")
