"""Find commands."""

from uuid import UUID

from durex_core.errors import CommandNotFound
from durex_core.model import Command
from durex_core.store import commands
from durex_core.store.database import Database


def get(database: Database, command_id: UUID) -> Command:
    """Return a command, live or finished.

    Raises:
        CommandNotFound: no command has this id.
    """
    with database.autocommit() as connection:
        command = commands.get(connection, command_id)
    if command is None:
        raise CommandNotFound(command_id)
    return command
