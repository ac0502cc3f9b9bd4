"""Databases that are thrown away after a test."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from durex_core.errors import DatabaseError
from durex_core.store.database import Database, masked, open_database

if TYPE_CHECKING:
    from durex_core.store.postgres_connection import PostgresConnection


@contextmanager
def throwaway(url: str) -> Iterator[Database]:
    """Open a database for the length of the block: a SQLite one by its URL, or a new one on a Postgres server."""
    with _own_url(url) as own, closing(open_database(own)) as database:
        yield database


def _own_url(url: str) -> AbstractContextManager[str]:
    return _new_postgres(url) if url.startswith("postgres") else nullcontext(url)


@contextmanager
def _new_postgres(url: str) -> Iterator[str]:
    """Make a database beside the one that the URL names, and drop it afterwards."""
    name = f"durex_test_{uuid4().hex[:12]}"
    with closing(open_database(url)) as server:
        _create(server, name, url)
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _create(server: Database, name: str, url: str) -> None:
    try:
        _execute(server, f"CREATE DATABASE {name}")
    except DatabaseError:
        raise
    except Exception as error:
        raise DatabaseError(
            f"cannot make a throw-away database on {masked(url)}: {error}; name a server and a role that may (CREATEDB)"
        ) from error


def _execute(server: Database, command: str) -> None:
    with server.autocommit() as connection:
        cast("PostgresConnection", connection).raw.execute(command.encode())
