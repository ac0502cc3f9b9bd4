"""Database roles for a deployment: each function logs in as one that may do its own work and no more.

The server ends sessions that idle, so that no frozen Lambda keeps the database awake, and statements that hang. None of
it is set by a session: proxies and poolers keep no session.
"""

from collections.abc import Iterator, Mapping
from typing import cast

import psycopg
from psycopg import sql

from durex_core.store.database import Connection, Row
from durex_core.store.postgres_connection import PostgresConnection

_TIMEOUTS = {
    "idle_session_timeout": "60s",
    "idle_in_transaction_session_timeout": "20s",
    "statement_timeout": "20s",
    "lock_timeout": "3s",
}

_READ = "SELECT ON durex.commands, durex.finished_commands, durex.all_commands, durex.migrations"
_ENQUEUE = ("INSERT ON durex.commands", "SELECT, INSERT, UPDATE ON durex.keys", "SELECT, INSERT ON durex.alarms")
# Moving a command to the finished ones, and telling the one that waits for it.
_FINISH = (
    "UPDATE, DELETE ON durex.commands",
    "INSERT ON durex.finished_commands",
    "SELECT, INSERT, DELETE ON durex.joined",
)
_REVIVE = ("INSERT ON durex.commands", "DELETE ON durex.finished_commands")

_GRANTS: Mapping[str, tuple[str, ...]] = {
    "enqueue": (_READ, *_ENQUEUE),
    "drain": (_READ, *_ENQUEUE, "INSERT ON durex.finished_commands"),
    # Whether an accepted command was stored is asked of the keys; whose they are is nobody's business there.
    "api": (_READ, *_FINISH, *_REVIVE, "SELECT (scope, key) ON durex.keys"),
    "worker": (_READ, *_ENQUEUE, *_FINISH),
    "tick": (
        _READ,
        *_ENQUEUE,
        "UPDATE ON durex.commands",
        "DELETE ON durex.keys",
        "DELETE ON durex.alarms",
        "SELECT, DELETE ON durex.joined",
        "SELECT, INSERT, UPDATE ON durex.handlers",
    ),
}
"""What each role may do. The tick also makes and drops partitions: it owns the finished commands."""

_LOCK = 0x6475726572  # "durer" in ASCII


def grant(connection: Connection, roles: Mapping[str, str]) -> None:
    """Make the login roles that are missing, and give each what it needs; `roles` maps a duty to a role's name.

    IAM authentication is granted where the server knows it. Safe to repeat: what an earlier version granted beyond the
    list is taken back.
    """
    raw = cast("PostgresConnection", connection).raw
    raw.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    has_iam = _exists(raw, "rds_iam")
    for duty, role in roles.items():
        for command in _commands(raw, duty, role, has_iam=has_iam):
            raw.execute(command)


def _commands(raw: psycopg.Connection[Row], duty: str, role: str, *, has_iam: bool) -> Iterator[sql.Composed]:
    name = sql.Identifier(role)
    if not _exists(raw, role):
        yield sql.SQL("CREATE ROLE {} LOGIN").format(name)
    if has_iam:
        yield sql.SQL("GRANT rds_iam TO {}").format(name)
    for setting, value in _TIMEOUTS.items():
        yield sql.SQL("ALTER ROLE {} SET {} = {}").format(name, sql.Identifier(setting), sql.Literal(value))
    yield sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA durex FROM {}").format(name)
    yield sql.SQL("REVOKE ALL ON SCHEMA durex FROM {}").format(name)
    yield sql.SQL("GRANT USAGE ON SCHEMA durex TO {}").format(name)
    for privileges in _GRANTS[duty]:
        yield sql.SQL("GRANT {} TO {}").format(sql.SQL(privileges), name)
    if duty == "tick":
        yield from _owning(raw, role)


def _owning(raw: psycopg.Connection[Row], role: str) -> Iterator[sql.Composed]:
    name = sql.Identifier(role)
    # Only a member of a role may hand tables over to it, and the owner of a partition must be able to make new ones.
    yield sql.SQL("GRANT {} TO CURRENT_USER").format(name)
    yield sql.SQL("GRANT CREATE ON SCHEMA durex TO {}").format(name)
    for table, owner in _finished(raw):
        if owner != role:  # to change it takes a lock that keeps every worker out
            yield sql.SQL("ALTER TABLE durex.{} OWNER TO {}").format(sql.Identifier(table), name)
        yield sql.SQL("GRANT ALL ON durex.{} TO {}").format(sql.Identifier(table), name)


def _finished(raw: psycopg.Connection[Row]) -> list[tuple[str, str]]:
    """Return the finished commands' table and its partitions, with their owners."""
    found = raw.execute(
        "SELECT relname, pg_get_userbyid(relowner) AS owner"
        " FROM pg_partition_tree('durex.finished_commands') JOIN pg_class ON oid = relid"
    )
    return [(row["relname"], row["owner"]) for row in found]


def _exists(raw: psycopg.Connection[Row], role: str) -> bool:
    return raw.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None
