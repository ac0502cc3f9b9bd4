"""Making and dropping databases on the Postgres of the tests."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


@contextmanager
def fresh_postgres(server_url: str, template: str = "template1") -> Iterator[str]:
    """Make a database for the length of the block, a copy of the template, and yield its URL."""
    name = f"durex_test_{uuid.uuid4().hex[:8]}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    run_on(server_url, copy.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield on_database(server_url, name)
    finally:
        run_on(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def on_database(server_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def run_on(url: str, command: sql.Composable) -> None:
    """Run one command outside any transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(command)
