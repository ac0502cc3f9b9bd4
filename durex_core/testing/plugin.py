"""The pytest plugin: fixtures that run an application's commands on a throw-away database and on virtual time.

pytest loads it in every project that has durex installed, so that it imports durex only where a test asks for it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from durex_core.app import Durex
    from durex_core.testing.harness import Harness


@pytest.fixture(scope="session")
def durex_app() -> "Durex":
    """The application under test: what DUREX_APP or `[tool.durex] app` names. Override it to test another one."""
    from durex_core.cli.discovery import find_app  # noqa: PLC0415  not before a test asks for it

    return find_app()


@pytest.fixture(scope="session")
def durex_database() -> str:
    """The URL of the throw-away database. Override it to test on a Postgres server."""
    return "sqlite:///:memory:"


@pytest.fixture
def durex(durex_app: "Durex", durex_database: str) -> "Iterator[Harness]":
    """A harness around the application: commands run when the test says so."""
    from durex_core.testing.harness import Harness  # noqa: PLC0415  not before a test asks for it

    with Harness(durex_app, database=durex_database) as harness:
        yield harness


@pytest.fixture
def durex_inline(durex_app: "Durex", durex_database: str) -> "Iterator[Harness]":
    """A harness around the application: commands run before `enqueue` returns."""
    from durex_core.testing.harness import Harness  # noqa: PLC0415  not before a test asks for it

    with Harness(durex_app, database=durex_database, inline=True) as harness:
        yield harness
