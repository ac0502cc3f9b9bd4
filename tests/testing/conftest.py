"""An application whose own database cannot be opened, and a harness around it on each kind of database."""

from collections.abc import Iterator

import pytest
from factories import START

from durex_core import Durex
from durex_core.testing import Harness

NOWHERE = "sqlite:////no/such/folder/own.db"


@pytest.fixture(params=["sqlite", "postgres"])
def throwaway_url(request: pytest.FixtureRequest) -> str:
    """What a user gives a harness to make a database from, of each kind in turn."""
    if request.param == "sqlite":
        return "sqlite:///:memory:"
    url: str = request.getfixturevalue("postgres_server")
    return url


@pytest.fixture
def app() -> Durex:
    """An application without commands; whoever asks for its own database gets an error."""
    return Durex(NOWHERE)


@pytest.fixture
def harness(app: Durex, throwaway_url: str) -> Iterator[Harness]:
    """A harness on each kind of database; commands run when the test says so."""
    with Harness(app, start=START, database=throwaway_url) as harness:
        yield harness
