"""Handlers as the database knows them: the options that they give their commands, for those who enqueue in SQL."""

from collections.abc import Sequence

from durex_core.model import NewCommand
from durex_core.store import rows
from durex_core.store.database import Connection

_OF_ONE_COMMAND = ("id", "parent_id", "join_id", "awaits", "compensations")


def publish(connection: Connection, templates: Sequence[NewCommand]) -> list[str]:
    """Remember what handlers give the commands of their names; return the names of those that changed.

    Handlers that are not named stay: another version of the application may have them.
    """
    published = [{"name": template.name, "template": _row(template)} for template in templates]
    return [row["name"] for row in connection.run("handlers/publish", rows=published)] if published else []


def _row(template: NewCommand) -> rows.Row:
    row = rows.new_row(template)
    return {name: value for name, value in row.items() if name not in _OF_ONE_COMMAND}
