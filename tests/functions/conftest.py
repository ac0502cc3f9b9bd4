"""Lambda functions on a real Postgres and the emulator's SQS: in this process, or as Lambda runs them."""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import errands
import psycopg
import pytest
from deploy import emulator as emulators
from invocations import Invocation, Queue, sqs_event, wake
from psycopg import sql
from staging import Stage

from durex_core import Durex
from durex_core.aws.wake import SqsDeadLetters, SqsWake
from durex_core.local.runtime_api import LambdaFunction
from durex_core.operations import schema
from durex_core.operations.wake import Wake
from durex_core.serverless.worker import WorkerFunction
from durex_core.store.database import open_database

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "for-tests"


@pytest.fixture(scope="session")
def aws() -> Iterator[emulators.Emulator]:
    """The emulator, which every client of AWS in this process speaks to from here on."""
    with (
        tempfile.TemporaryDirectory(prefix="durex_", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        emulator = emulators.start(Path(folder), port=emulators.free_port(), postgres="127.0.0.1:1")
        for name, value in emulator.environment.items():
            patch.setenv(name, value)
        yield emulator
        emulator.process.end(grace_seconds=0.2)


@pytest.fixture
def make_queue(aws: emulators.Emulator) -> Iterator[Callable[[], Queue]]:
    """Make queues that are gone after the test."""
    assert aws.process.is_alive
    made: list[Queue] = []

    def make() -> Queue:
        made.append(Queue())
        return made[-1]

    yield make
    for queue in made:
        queue.delete()


@pytest.fixture
def app(postgres_url: str) -> Iterator[Durex]:
    """The errands on a fresh Postgres."""
    errands.app.use_database(postgres_url)
    yield errands.app
    errands.app.close()


class Worker:
    """A worker function in this process, with real queues."""

    def __init__(self, app: Durex, make_queue: Callable[[], Queue]) -> None:
        self.app = app
        self.own = make_queue()
        self.children = make_queue()
        self.dead = make_queue()
        self._made: list[WorkerFunction] = []

    def make(
        self, *, wakes: Wake | None = None, concurrency: int = 10, need: timedelta | None = None
    ) -> WorkerFunction:
        """Build it, as a new execution environment does; `need` is the time that a batch is said to need."""
        urls = {errands.QUEUE: self.own.url, errands.PARCELS: self.children.url}
        made = WorkerFunction(
            self.app.database,
            self.app.registry,
            wakes or SqsWake(urls),
            queue=errands.QUEUE,
            reject=SqsDeadLetters(self.dead.url).reject,
            concurrency=concurrency,
            lease_margin=timedelta(seconds=5),
        )
        made._need = need or made._need
        self._made.append(made)
        return made

    def lose_dead_letters(self) -> None:
        """Let the dead letter queue be none that is known."""
        self.dead.url += "-gone"

    def invoke(self, *bodies: str, seconds: float = 20, **options: Any) -> dict[str, Any]:
        """Run one invocation in a new environment."""
        messages = bodies or (wake(errands.QUEUE),)
        return self.make(**options).invoke(sqs_event(*messages), Invocation(seconds))

    def close(self) -> None:
        for made in self._made:
            made.close()


@pytest.fixture
def worker(app: Durex, make_queue: Callable[[], Queue]) -> Iterator[Worker]:
    """A worker function of the errands."""
    made = Worker(app, make_queue)
    yield made
    made.close()


@pytest.fixture
def stage(postgres_url: str) -> Iterator[Stage]:
    """The test's own hand in the database."""
    made = Stage(postgres_url)
    yield made
    made.close()


class Roles:
    """The login roles of a deployment, in one database, under names of their own."""

    def __init__(self, url: str) -> None:
        self.url = url
        suffix = uuid.uuid4().hex[:8]
        self.names = {duty: f"durex_{duty}_{suffix}" for duty in ("worker", "enqueue", "drain", "api", "tick")}

    def grant(self) -> None:
        """Do what the migrate function does, and let the roles in where the server asks for a password."""
        database = open_database(self.url)
        schema.grant(database, self.names)
        database.close()
        for name in self.names.values():
            self.run(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(PASSWORD)))

    def of(self, duty: str) -> str:
        """Return the URL for a duty."""
        parts = urlsplit(self.url)
        address = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{self.names[duty]}:{PASSWORD}@{address}").geturl()

    def set(self, duty: str, setting: str, value: str) -> None:
        """Change a setting of the role for its next sessions."""
        name, parameter = sql.Identifier(self.names[duty]), sql.Identifier(setting)
        self.run(sql.SQL("ALTER ROLE {} SET {} = {}").format(name, parameter, sql.Literal(value)))

    def drop(self) -> None:
        """Leave nothing behind on the server."""
        for name in map(sql.Identifier, self.names.values()):
            self.run(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(name))
            self.run(sql.SQL("DROP OWNED BY {}").format(name))
            self.run(sql.SQL("DROP ROLE {}").format(name))

    def run(self, command: sql.Composable) -> None:
        """Run a command as the owner of the database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(command)


@pytest.fixture
def roles(postgres_url: str) -> Iterator[Roles]:
    """The roles of a deployment on a fresh Postgres."""
    made = Roles(postgres_url)
    made.grant()
    yield made
    made.drop()


@pytest.fixture
def function(postgres_url: str) -> Iterator[Callable[..., LambdaFunction]]:
    """Make functions that run as Lambda runs them, by the name of their folder or the path of their handler."""
    made: list[LambdaFunction] = []

    def make(
        name: str, *, app: str = "functions.commands:app", timeout_seconds: float = 30, **environment: str
    ) -> LambdaFunction:
        handler = name if "." in name else f"functions.{name}.handler.handler"
        variables = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            "DUREX_APP": app,
            "DUREX_DATABASE_URL": postgres_url,
        }
        made.append(
            LambdaFunction(
                handler, folder=str(ROOT), timeout_seconds=timeout_seconds, environment=variables | environment
            )
        )
        return made[-1]

    yield make
    for lambda_function in made:
        lambda_function.__exit__()
