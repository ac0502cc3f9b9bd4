"""`durex retry ID` and `durex replay ID`: let a command run again."""

import click
from rich.text import Text

from durex_core.cli.options import Session, with_session
from durex_core.cli.rendering import printable, state
from durex_core.model import Command
from durex_core.operations.describe import describe


@click.command()
@click.argument("command_id", metavar="ID")
@with_session
def retry(session: Session, command_id: str) -> None:
    """Let the command ID run now.

    One that failed, expired or was cancelled, or that is in the dead letter queue, gets a fresh budget of attempts. One
    that waits for its time or its backoff is spared the wait.
    """
    _tell(session, session.app.retry(command_id))


@click.command()
@click.argument("command_id", metavar="ID")
@with_session
def replay(session: Session, command_id: str) -> None:
    """Let the command ID out of the dead letter queue run again, with a fresh budget of attempts."""
    _tell(session, session.app.replay(command_id))


def _tell(session: Session, command: Command) -> None:
    session.output.answer(
        describe(command), Text.assemble(str(command.id), "  ", printable(command.name), "  ", state(command.state))
    )
