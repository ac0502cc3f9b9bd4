"""An application, workers in threads, and the test's own hand in their database."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from staging import PATIENCE_SECONDS, Hand, Stage, wait_until

from durex_core import Durex
from durex_core.model import Command, Enqueued


@pytest.fixture
def apps(database_url: str) -> Iterator[tuple[Durex, Durex]]:
    """Two applications without commands on a fresh database; nothing else is shared, as in two processes."""
    pair = Durex(database_url), Durex(database_url)
    yield pair
    for app in pair:
        app.close()


@pytest.fixture
def app(apps: tuple[Durex, Durex]) -> Durex:
    """An application without commands on a fresh database."""
    return apps[0]


@pytest.fixture
def other(apps: tuple[Durex, Durex]) -> Durex:
    """Another application on the same database."""
    return apps[1]


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    """The test's own hand in the database."""
    made = Stage(database_url)
    yield made
    made.close()


@pytest.fixture
def work(app: Durex) -> Iterator[Callable[..., Hand]]:
    """Start a worker, of `app` or another application; all are stopped when the test is over."""
    hands: list[Hand] = []

    def start(of: Durex = app, **options: Any) -> Hand:
        hands.append(Hand(of.worker(**{"grace": timedelta(seconds=5), **options})))
        return hands[-1]

    yield start
    for hand in hands:
        hand.worker.stop()
    for hand in hands:
        hand.stop()


@pytest.fixture
def finished(app: Durex) -> Callable[..., Command]:
    """Wait until a command is finished, and return it."""

    def wait(enqueued: Enqueued, timeout_seconds: float = PATIENCE_SECONDS) -> Command:
        wait_until(lambda: app.get(enqueued.id).state.is_terminal, timeout_seconds)
        return app.get(enqueued.id)

    return wait
