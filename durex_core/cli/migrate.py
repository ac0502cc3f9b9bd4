"""`durex migrate`: bring the database's schema up to date."""

import click

from durex_core.app import Durex
from durex_core.cli.options import Session, with_session
from durex_core.operations import schema
from durex_core.store.database import masked, open_database


@click.command()
@with_session
def migrate(session: Session) -> None:
    """Bring the database's schema up to date.

    Safe to run at any time, and from several places at once: what is applied already is left alone.
    """
    applied = _migrate(session.app)
    said = [f"applied {name}" for name in applied] or ["up to date"]
    session.output.answer({"database": masked(session.app.database_url), "applied": applied}, *said)


def _migrate(app: Durex) -> list[str]:
    """Migrate, and name what was applied: an application migrates SQLite when it opens it, and tells nobody."""
    if not app.database_url.startswith("sqlite:"):
        return app.migrate()
    database = open_database(app.database_url)
    try:
        return schema.migrate(database, app.retention)
    finally:
        database.close()
