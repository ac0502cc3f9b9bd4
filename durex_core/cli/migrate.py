"""`durex migrate`: bring the database's schema up to date."""

import click

from durex_core.cli.options import Session, with_session
from durex_core.store.database import masked


@click.command()
@with_session
def migrate(session: Session) -> None:
    """Bring the database's schema up to date.

    Safe to run at any time, and from several places at once: what is applied already is left alone.
    """
    applied = session.app.migrate()
    said = [f"applied {name}" for name in applied] or ["up to date"]
    session.output.answer({"database": masked(session.app.database_url), "applied": applied}, *said)
