"""The schema: bringing it up to date, and asking after it."""

from collections.abc import Mapping

from durex_core.model import RetentionPolicy
from durex_core.records import record
from durex_core.registry import Registry
from durex_core.store import handlers, partitions
from durex_core.store import roles as store_roles
from durex_core.store.database import Database


@record
class Health:
    """That the database answers, and with which schema."""

    status: str
    database: str
    schema_version: int


def migrate(database: Database, policy: RetentionPolicy) -> list[str]:
    """Apply the missing migrations, make partitions ahead, and return the names of what was applied."""
    applied = database.migrate()
    database.transact(lambda connection: partitions.keep_up(connection, policy))
    return applied


def publish(database: Database, registry: Registry) -> list[str]:
    """Make the handlers known to those who enqueue in SQL; return the names of those that changed."""
    return database.transact(lambda connection: handlers.publish(connection, registry.templates))


def health(database: Database) -> Health:
    """Ask the database for its schema version.

    Raises:
        DatabaseUnavailable: it does not answer.
        SchemaMissing: it was never migrated.
    """
    (row,) = database.run("schema/version")
    return Health("healthy", database.dialect, row["version"])


def grant(database: Database, roles: Mapping[str, str]) -> None:
    """Set up the login roles of a deployment; `roles` maps each duty (worker, enqueue, api, tick) to a role's name."""
    database.transact(lambda connection: store_roles.grant(connection, roles))
