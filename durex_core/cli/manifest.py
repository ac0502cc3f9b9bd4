"""`durex manifest`: what a deployment must know of the application."""

import json
import sys
from contextlib import redirect_stdout

import click

from durex_core.cli.options import Session, with_session
from durex_core.operations.manifest import manifest as describe


@click.command()
@with_session
def manifest(session: Session) -> None:
    """Print the commands and queues of the application, in JSON.

    A deployment reads it to build a function and a queue for each; no database is opened.
    """
    # What the application prints while it is imported must not come before the document, with or without --json.
    with redirect_stdout(sys.stderr):
        document = describe(session.app_name, session.app.registry)
    session.output.answer(document, json.dumps(document, indent=2))
