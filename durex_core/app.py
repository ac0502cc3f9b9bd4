"""The application: what holds a team's commands together with a database and a way to wake workers."""

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, Unpack, overload
from uuid import UUID

from durex_core.aws.credentials import rds_certificates, rds_token
from durex_core.aws.wake import SqsWake
from durex_core.errors import DurexError, InvalidSpec
from durex_core.execution.context import AsyncContext, Context
from durex_core.local.bell import Bell, LocalWake
from durex_core.local.worker import GRACE, LEASE, Worker
from durex_core.model import Command, CommandOptions, Enqueued, RetentionPolicy, Spec, SpecOptions
from durex_core.operations import enqueue, find, schema
from durex_core.operations.wake import Wake
from durex_core.registry import CommandHandle, Registry, make_spec
from durex_core.rules.history import HistoryEvent, history_of
from durex_core.store.database import Access, Database, open_database

P = TypeVar("P")
R = TypeVar("R")

DEFAULT_DATABASE_URL = "sqlite:///durex.db"
MAX_PAYLOAD_BYTES = 1024 * 1024

_EXAMPLE_ID = "019a2063-fc05-72e4-9bc1-56922de41a35"


class Durex:
    """An application: its commands, and the database that holds their state.

    Nothing is opened before the first use. A SQLite database is brought up to date then; for Postgres run
    `durex migrate` once and at each upgrade.
    """

    def __init__(
        self,
        database: str | None = None,
        *,
        retention: RetentionPolicy | None = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    ) -> None:
        """Take a database URL, else DUREX_DATABASE_URL, else `sqlite:///durex.db`.

        Args:
            database: `sqlite:///FILE`, `sqlite:///:memory:` or `postgresql://…`.
            retention: how long finished commands are kept (default: completed 7 days, the others 90).
            max_payload_bytes: the most bytes of JSON that a payload or a result may take (default 1 MiB).
        """
        self.registry = Registry(max_payload_bytes=max_payload_bytes)
        self.retention = retention or RetentionPolicy()
        self._url = database
        self._bell = Bell()
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._sqs_wake: SqsWake | None = None

    @property
    def database_url(self) -> str:
        """The URL that this application uses."""
        return self._url or os.environ.get("DUREX_DATABASE_URL") or DEFAULT_DATABASE_URL

    @property
    def database(self) -> Database:
        """The database, opened at first use."""
        with self._lock:
            is_new = self._database is None
            database = self._open()
            if is_new and database.dialect == "sqlite":
                schema.migrate(database, self.retention)
            return database

    @property
    def wake(self) -> Wake:
        """How workers hear of work: through SQS where DUREX_WAKE_URLS is set, else in and between processes."""
        urls = os.environ.get("DUREX_WAKE_URLS")
        if not urls:
            return LocalWake(self.database, self._bell)
        if self._sqs_wake is None:
            self._sqs_wake = SqsWake(json.loads(urls))
        return self._sqs_wake

    def use_database(self, url: str) -> None:
        """Use another database from here on, whatever was configured."""
        self.close()
        self._url = url

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None

    def command(self, name: str, *, queue: str | None = None, **options: Unpack[CommandOptions]) -> "_Register":
        """Register the decorated function as the handler of a command.

        The function takes `(ctx, payload)`, `(payload)`, `(ctx)` or nothing, and may be a coroutine function. Its
        annotation types the payload: a pydantic model, a dataclass, or any type that pydantic reads. Options are the
        defaults of the command's specs; see `Spec`. By default its queue is its own name.

        Raises:
            RegistrationError: the name is taken, an option is out of range, or the signature cannot be called.
        """
        return _Register(self, name, queue, options)

    def enqueue(self, name_or_spec: str | Spec, payload: Any = None, /, **options: Unpack[SpecOptions]) -> Enqueued:
        """Store a command, by name and payload or by spec, and wake its workers.

        Raises:
            InvalidSpec: a part was refused, and nothing was stored; see its subclasses.
            DatabaseUnavailable: the database could not be reached; nothing was stored, or an answer got lost.
        """
        return self.enqueue_many([_one_spec(name_or_spec, payload, options)])[0]

    def enqueue_many(self, specs: Sequence[Spec]) -> list[Enqueued]:
        """Store many commands in one transaction, all or none; answers come in the order of the specs."""
        return enqueue.enqueue(self.database, self.registry, self.wake, specs)

    async def aenqueue(
        self, name_or_spec: str | Spec, payload: Any = None, /, **options: Unpack[SpecOptions]
    ) -> Enqueued:
        """Do what `enqueue` does without blocking the event loop."""
        spec = _one_spec(name_or_spec, payload, options)
        return await asyncio.to_thread(self.enqueue, spec)

    def get(self, command_id: UUID | str) -> Command:
        """Return a command, live or finished.

        Raises:
            CommandNotFound: no command has this id.
            InvalidSpec: the text is no id.
        """
        return find.get(self.database, parse_id(command_id))

    def history(self, command_id: UUID | str) -> tuple[HistoryEvent, ...]:
        """Return what happened to a command, in order."""
        return history_of(self.get(command_id))

    def health(self) -> schema.Health:
        """Ask whether the database answers.

        Raises:
            DatabaseUnavailable: it does not.
            SchemaMissing: it was never migrated.
        """
        return schema.health(self.database)

    def migrate(self) -> list[str]:
        """Bring the database's schema up to date; return the names of the migrations that were applied."""
        with self._lock:
            return schema.migrate(self._open(), self.retention)

    def _open(self) -> Database:
        if self._database is None:
            self._database = open_database(self.database_url, _access(self.database_url))
        return self._database

    def worker(
        self,
        *,
        queues: Sequence[str] | None = None,
        concurrency: int = 10,
        lease: timedelta = LEASE,
        grace: timedelta = GRACE,
    ) -> Worker:
        """Return a worker for this process; call its `run`, and `stop` from elsewhere.

        Args:
            queues: which to serve (default: all of this application).
            concurrency: how many attempts run side by side.
            lease: how long a vanished worker's commands stay taken; running ones extend it.
            grace: how long attempts may go on after `stop` before they are given back.
        """
        return Worker(
            self.database,
            self.registry,
            self._bell,
            queues=queues,
            concurrency=concurrency,
            lease=lease,
            grace=grace,
            retention=self.retention,
        )


class _Register:
    """The decorator that `Durex.command` returns."""

    def __init__(self, app: Durex, name: str, queue: str | None, options: CommandOptions) -> None:
        self._app = app
        self._name = name
        self._queue = queue
        self._options = options

    @overload
    def __call__(self, function: Callable[[Context, P], R], /) -> CommandHandle[P, R]: ...
    @overload
    def __call__(self, function: Callable[[AsyncContext, P], Awaitable[R]], /) -> CommandHandle[P, R]: ...
    @overload
    def __call__(self, function: Callable[[P], R], /) -> CommandHandle[P, R]: ...
    @overload
    def __call__(self, function: Callable[[], R], /) -> CommandHandle[None, R]: ...

    def __call__(self, function: Callable[..., Any], /) -> CommandHandle[Any, Any]:
        handler = self._app.registry.register(self._name, function, queue=self._queue, options=self._options)
        return CommandHandle(handler, self._app)


def _access(url: str) -> Access:
    """Read from the environment how to get into the database."""
    is_iam = _choice("DUREX_DATABASE_AUTH", ("password", "iam")) == "iam"
    return Access(
        password=rds_token(url) if is_iam else None,
        sslmode=os.environ.get("DUREX_DATABASE_SSLMODE") or ("verify-full" if is_iam else None),
        certificates=rds_certificates() if is_iam else None,
        connect_timeout_seconds=int(os.environ.get("DUREX_DATABASE_CONNECT_TIMEOUT_SECONDS", "10")),
        max_connections=_max_connections(),
    )


def _max_connections() -> int | None:
    """Return how many connections may be open at a time: in Lambda one, on which the deployment's sums rest."""
    given = os.environ.get("DUREX_DATABASE_MAX_CONNECTIONS")
    if given:
        return int(given)
    return 1 if "AWS_LAMBDA_FUNCTION_NAME" in os.environ else None


def _choice(variable: str, choices: tuple[str, ...]) -> str:
    value = os.environ.get(variable) or choices[0]
    if value not in choices:
        raise DurexError(f"{variable}={value!r}: use one of {', '.join(choices)}")
    return value


def _one_spec(name_or_spec: str | Spec, payload: Any, options: SpecOptions) -> Spec:
    if not isinstance(name_or_spec, Spec):
        return make_spec(name_or_spec, payload, options)
    if payload is not None or options:
        raise InvalidSpec("payload", "is part of the spec already; put it and the options into the Spec")
    return name_or_spec


def parse_id(command_id: UUID | str) -> UUID:
    """Read a command's id.

    Raises:
        InvalidSpec: the text is no UUID.
    """
    if isinstance(command_id, UUID):
        return command_id
    try:
        return UUID(command_id)
    except ValueError:
        raise InvalidSpec("id", f"{command_id!r} is not a command id; ids look like {_EXAMPLE_ID}") from None
