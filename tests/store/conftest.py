"""The store on virtual time.

Most tests of the store take turns on one database of each kind, which is emptied before each of them: making a database
takes longer than the test. Those that change the schema, or race, have one of their own (`database`).
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copy

import pytest
from databases import fresh_postgres
from racing import Stage
from virtual_store import VirtualStore

from durex_core.store.database import Database, open_database


@pytest.fixture(scope="session")
def shared_postgres(postgres_server: str, postgres_template: str) -> Iterator[Database]:
    """A Postgres that tests use one after another."""
    with fresh_postgres(postgres_server, postgres_template) as url, closing(open_database(url)) as database:
        yield database


@pytest.fixture(scope="session")
def shared_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A SQLite file that tests use one after another."""
    path = copy(sqlite_template, tmp_path_factory.mktemp("shared") / "durex.db")
    with closing(open_database(f"sqlite:///{path}")) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> VirtualStore:
    """An empty store on virtual time, of each kind in turn."""
    store = VirtualStore(request.getfixturevalue(f"shared_{request.param}"))
    store.clear()
    return store


@pytest.fixture
def stage(postgres_url: str) -> Iterator[Stage]:
    """A Postgres to stage a race on."""
    stage = Stage(postgres_url)
    yield stage
    stage.close()
