"""A fleet of worker processes on a fresh database."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chaos_app
import pytest
from fleet import Account, Fleet
from staging import Stage, wait_until

from durex_core import Durex
from durex_core.model import Command


@pytest.fixture
def fleet(database_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """Worker processes; what is left of them is killed when the test is over."""
    made = Fleet(database_url, tmp_path)
    yield made
    made.kill_all()


@pytest.fixture
def app(database_url: str) -> Iterator[Durex]:
    """The application of the workers, to enqueue and to look."""
    made = chaos_app.make_app(database_url)
    yield made
    made.close()


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    """The test's own hand in the database."""
    made = Stage(database_url)
    yield made
    made.close()


@pytest.fixture
def settle_accounts(app: Durex, stage: Stage, fleet: Fleet) -> Callable[[], Account]:
    """Wait until no command is live, and return what became of all."""

    def wait(timeout_seconds: float = 60) -> Account:
        wait_until(lambda: stage.count("commands") == 0, timeout_seconds)
        ids = [row[0] for row in stage.run("SELECT id FROM finished_commands")]
        by_id: dict[Any, Command] = {one: app.get(one) for one in set(ids)}
        return Account([by_id[one] for one in ids], fleet.lines())

    return wait
