"""The structure of a durex schema as text, one fact a line: what the drift test compares."""

import re
from collections.abc import Iterator

from virtual_store import query

from durex_core.store.database import Connection

_CHECK = re.compile(r"CHECK \((?P<rule>(?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")

_POSTGRES_TABLES = """
    SELECT oid, relname AS name, relkind AS kind, relispartition AS is_partition, reloptions AS options,
           CASE WHEN relkind = 'p' THEN pg_get_partkeydef(oid) END AS partition_key,
           pg_get_expr(relpartbound, oid) AS bound
    FROM pg_class WHERE relnamespace = 'durex'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY relname
"""
_POSTGRES_COLUMNS = """
    SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS is_required,
           pg_get_expr(adbin, adrelid) AS default_value
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
# Postgres 18 lists NOT NULL as constraints too; the columns tell of it already.
_POSTGRES_CONSTRAINTS = """
    SELECT conname AS name, pg_get_constraintdef(oid) AS rule
    FROM pg_constraint WHERE conrelid = %s AND contype <> 'n' ORDER BY conname
"""
_POSTGRES_INDEXES = """
    SELECT pg_get_indexdef(indexrelid) AS rule FROM pg_index
    WHERE indrelid = %s ORDER BY indexrelid::regclass::text COLLATE "C"
"""


def structure(connection: Connection) -> list[str]:
    """Return the lines that describe every table and view."""
    return list(_postgres(connection) if connection.dialect == "postgres" else _sqlite(connection))


def columns(connection: Connection) -> dict[str, list[str]]:
    """Return the columns of every table and view by name; partitions are their table."""
    if connection.dialect == "postgres":
        return {
            table["name"]: [column["name"] for column in query(connection, _POSTGRES_COLUMNS, [table["oid"]])]
            for table in query(connection, _POSTGRES_TABLES)
            if not table["is_partition"]
        }
    return {
        name: [column[1] for column in query(connection, f"PRAGMA table_xinfo({name})")]
        for name, _, _ in _sqlite_tables(connection)
    }


def checks(connection: Connection, table: str) -> list[str]:
    """Return the rules of a table's CHECK constraints."""
    if connection.dialect == "postgres":
        found = query(connection, _POSTGRES_CONSTRAINTS.replace("%s", f"'durex.{table}'::regclass"))
        return [row["rule"] for row in found if row["rule"].startswith("CHECK")]
    return [rule for name, _, text in _sqlite_tables(connection) if name == table for rule in _sqlite_checks(text)]


def _postgres(connection: Connection) -> Iterator[str]:
    for table in query(connection, _POSTGRES_TABLES):
        kind = {"r": "table", "p": "partitioned table", "v": "view"}[table["kind"]]
        yield f"{kind} {table['name']}"
        # A partition has the columns of its parent.
        for column in [] if table["is_partition"] else query(connection, _POSTGRES_COLUMNS, [table["oid"]]):
            required = " not null" if column["is_required"] else ""
            default = f" default {column['default_value']}" if column["default_value"] else ""
            yield f"    {column['name']} {column['type']}{required}{default}"
        if table["partition_key"]:
            yield f"    partition by {table['partition_key']}"
        if table["bound"]:
            yield f"    partition {table['bound']}"
        for option in table["options"] or ():
            yield f"    with {option}"
        for constraint in [] if table["is_partition"] else query(connection, _POSTGRES_CONSTRAINTS, [table["oid"]]):
            yield f"    constraint {constraint['name']} {constraint['rule']}"
        for index in query(connection, _POSTGRES_INDEXES, [table["oid"]]):
            yield f"    {index['rule']}"


def _sqlite(connection: Connection) -> Iterator[str]:
    for name, kind, text in _sqlite_tables(connection):
        yield f"{kind} {name}"
        for _, column, value_type, is_required, default, key, _ in query(connection, f"PRAGMA table_xinfo({name})"):
            required = " not null" if is_required else ""
            preset = f" default {default}" if default is not None else ""
            primary = f" key {key}" if key else ""
            yield f"    {column} {value_type}{required}{preset}{primary}".rstrip()
        if text.rstrip().endswith("WITHOUT ROWID"):
            yield "    without rowid"
        for rule in _sqlite_checks(text):
            yield f"    check {rule}"
        indexes = query(
            connection, "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? ORDER BY name", [name]
        )
        yield from (f"    {' '.join(index.split())}" for (index,) in indexes if index)


def _sqlite_tables(connection: Connection) -> list[tuple[str, str, str]]:
    return query(
        connection,
        "SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
        " ORDER BY name",
    )


def _sqlite_checks(text: str) -> list[str]:
    return [match["rule"] for match in _CHECK.finditer(text)]
