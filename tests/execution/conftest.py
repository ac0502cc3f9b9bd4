"""An application, workers in threads, and the test's own hand in their database."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from staging import PATIENCE_SECONDS, Hand, Stage, wait_until

from durex_core import Durex
from durex_core.model import Command, Enqueued


@pytest.fixture
def make_app(database_url: str) -> Iterator[Callable[..., Durex]]:
    """Make applications without commands on one fresh database; nothing else is shared, as between processes."""
    made: list[Durex] = []

    def make(**options: Any) -> Durex:
        made.append(Durex(database_url, **options))
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.fixture
def app(make_app: Callable[..., Durex]) -> Durex:
    """An application without commands on a fresh database."""
    return make_app()


@pytest.fixture
def other(make_app: Callable[..., Durex]) -> Durex:
    """Another application on the same database."""
    return make_app()


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


@pytest.fixture
def ended(app: Durex, stage: Stage) -> Callable[..., list[Command]]:
    """Wait until so many commands of a name are finished, and return them as they ended."""

    def wait(name: str, count: int = 1) -> list[Command]:
        wait_until(lambda: len(stage.finished(name)) >= count)
        assert len(stage.finished(name)) == count
        return [app.get(command_id) for command_id in stage.finished(name)]

    return wait


@pytest.fixture
def undo(app: Durex) -> Any:
    """A command of the queue `elsewhere`, that nobody serves, for hooks to ask for."""

    @app.command("undo", queue="elsewhere")
    def undo(payload: object = None) -> None: ...

    return undo
