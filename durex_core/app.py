"""The application: what holds a team's commands together with a database and a way to wake workers."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Never, Unpack, overload

from durex_core import operations
from durex_core.aws.alarm import AlarmSettings, SchedulerAlarms
from durex_core.aws.wake import SqsWake
from durex_core.decorator import Decorator, Registrar
from durex_core.environment import access
from durex_core.errors import InvalidSpec
from durex_core.execution.limiter import Limiter
from durex_core.execution.middleware import Middleware
from durex_core.execution.surroundings import Surroundings
from durex_core.handlers.handler import HandlerOptions
from durex_core.handlers.options import make_spec
from durex_core.local import GRACE, LEASE
from durex_core.local.bell import Bell, LocalWake
from durex_core.model import Accepted, Command, Enqueued, ErrorInfo, RetentionPolicy
from durex_core.observer import Observer, OnError
from durex_core.operations import enqueue
from durex_core.operations.alarms import BookedAlarms
from durex_core.operations.wake import Wake
from durex_core.oversight import Oversight
from durex_core.registry import Registry
from durex_core.spec import CommandOptions, Spec, SpecOptions
from durex_core.store.database import Database, open_database

if TYPE_CHECKING:
    from durex_core.aws.ingest import SqsIngest
    from durex_core.local.worker import Worker
    from durex_core.operations.schema import Health

DEFAULT_DATABASE_URL = "sqlite:///durex.db"
MAX_PAYLOAD_BYTES = 1024 * 1024


class Durex(Oversight):
    """An application: its commands, and the database that holds their state.

    Nothing is opened before the first use. A SQLite database is brought up to date then; for Postgres run
    `durex migrate` once and at each upgrade.
    """

    def __init__(
        self,
        database: str | None = None,
        *,
        defaults: CommandOptions | None = None,
        never_retry: Iterable[type[BaseException]] = (),
        limits: Mapping[str, int] | None = None,
        global_limit: int | None = None,
        retention: RetentionPolicy | None = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    ) -> None:
        """Take a database URL, else DUREX_DATABASE_URL, else `sqlite:///durex.db`.

        Args:
            database: `sqlite:///FILE`, `sqlite:///:memory:` or `postgresql://…`.
            defaults: options of every command whose handler or spec says nothing else.
            never_retry: exceptions that fail any command for good, whatever retries are left.
            limits: how many attempts of a command's name may run at a time in one process, by name.
            global_limit: the same for all names together.
            retention: how long finished commands are kept (default: completed 7 days, the others 90).
            max_payload_bytes: the most bytes of JSON that a payload or a result may take (default 1 MiB).

        Raises:
            RegistrationError: a default is out of its bounds, or something of `never_retry` is no exception class.
        """
        self.registry = Registry(max_payload_bytes=max_payload_bytes, defaults=defaults, never_retry=never_retry)
        self.surroundings = Surroundings(limiter=Limiter(limits, global_limit=global_limit))
        self.retention = retention or RetentionPolicy()
        self._url = database
        self._is_ready = False
        self._bell = Bell()
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._sqs_wake: SqsWake | None = None
        self._instead: tuple[Database, Wake] | None = None

    @property
    def database_url(self) -> str:
        """The URL that this application uses."""
        return self._url or os.environ.get("DUREX_DATABASE_URL") or DEFAULT_DATABASE_URL

    @property
    def database(self) -> Database:
        """The database, opened at first use."""
        if self._instead:
            return self._instead[0]
        with self._lock:
            database = self._open()
            if not self._is_ready and database.dialect == "sqlite":
                operations.schema.migrate(database, self.retention)
            self._is_ready = True
            return database

    @property
    def limiter(self) -> Limiter:
        """How many attempts may run at a time in this process; its limits can be changed while it runs."""
        return self.surroundings.limiter

    @property
    def wake(self) -> Wake:
        """How workers hear of work: through SQS where DUREX_WAKE_URLS is set, else in and between processes."""
        if self._instead:
            return self._instead[1]
        urls = os.environ.get("DUREX_WAKE_URLS")
        if not urls:
            return LocalWake(self.database, self._bell)
        if self._sqs_wake is None:
            self._sqs_wake = SqsWake(json.loads(urls), alarms=self._alarms())
        return self._sqs_wake

    @property
    def ingest(self) -> "SqsIngest | None":
        """What keeps commands while the database is away: the queue that DUREX_INGEST_URL names, if it is set."""
        from durex_core.aws.ingest import SqsIngest  # noqa: PLC0415  workers need none

        url = os.environ.get("DUREX_INGEST_URL")
        return SqsIngest(url) if url and not self._instead else None

    def _alarms(self) -> BookedAlarms | None:
        """Return how alarms are set; None: the deployment has none, and a tick of each minute finds what is due."""
        settings = os.environ.get("DUREX_ALARMS")
        return BookedAlarms(lambda: self.database, SchedulerAlarms(AlarmSettings.read(settings))) if settings else None

    def use_database(self, url: str) -> None:
        """Use another database from here on, whatever was configured."""
        self.close()
        self._url = url

    @contextmanager
    def redirected(self, database: Database, wake: Wake) -> Iterator[None]:
        """Use an open, migrated database and a way to wake workers during the block, whatever is configured: for tests.

        Both belong to the caller: `close` leaves them alone.
        """
        before, self._instead = self._instead, (database, wake)
        try:
            yield
        finally:
            self._instead = before

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None
            self._is_ready = False

    def use(self, *middleware: Middleware) -> None:
        """Put middleware around every handler, the first one outermost.

        A middleware is `(ctx, call_next) -> result`, a plain function or a coroutine function, whatever the handlers
        are. It calls, or awaits, `call_next()` for what lies inside of it, and returns that, or something else.
        """
        self.surroundings.middleware.extend(middleware)

    def observe(self, observer: Observer) -> None:
        """Tell an observer, such as `PrometheusMetrics`, what this process does from here on."""
        self.surroundings.observers.add(observer)

    def on_error(self, function: Callable[[Command, ErrorInfo], None]) -> Callable[[Command, ErrorInfo], None]:
        """Call the decorated function with each command that failed for good, once that is stored, and with why.

        It tells somebody, such as an error tracker; what is to be undone belongs into `on_recover`.
        """
        self.observe(OnError(function))
        return function

    @overload
    def command(
        self, name: str, *, payload: None = None, replace: bool = False, **options: Unpack[HandlerOptions]
    ) -> Decorator[Never]: ...
    @overload
    def command(
        self, name: str, *, payload: Any, replace: bool = False, **options: Unpack[HandlerOptions]
    ) -> Decorator[None]: ...

    def command(
        self, name: str, *, payload: Any = None, replace: bool = False, **options: Unpack[HandlerOptions]
    ) -> Decorator[Any]:
        """Register the decorated function, or class with a method `execute`, as the handler of a command.

        The function takes `(ctx, payload)`, `(payload)`, `(ctx)` or nothing, and may be a coroutine function. Its
        annotation types the payload: a pydantic model, a dataclass, or any type that pydantic reads. A class is made
        without arguments; see `register` for objects that need some.

        Args:
            name: what specs call it.
            payload: taken where a spec has none; if both are JSON objects they are merged, and the spec's keys win.
            replace: whether it may take the place of a command of that name.
            **options: see `HandlerOptions`; the defaults of the command's specs among them are explained at `Spec`.

        Raises:
            RegistrationError: the name is taken, an option is out of range, or the signature cannot be called.
        """
        return Decorator(self, name, {**options, "payload": payload}, replace=replace)

    @property
    def register(self) -> Registrar:
        """Register an object with a method `execute`: `app.register(SendEmail(mailer), name="send_email")`."""
        return Registrar(self)

    def unregister(self, name: str) -> bool:
        """Forget the handler of a command; say whether there was one. Stored commands of that name stay."""
        return self.registry.unregister(name)

    def enqueue(
        self,
        name_or_spec: str | Spec,
        payload: Any = None,
        /,
        *,
        connection: Any = None,
        **options: Unpack[SpecOptions],
    ) -> Enqueued:
        """Store a command, by name and payload or by spec, and wake its workers.

        With a `connection` it becomes part of the transaction there: it is stored when the caller commits, or not at
        all. That is a psycopg or sqlite3 connection on this application's database, or SQLAlchemy's Connection or
        Session around one.

        Raises:
            InvalidSpec: a part was refused, and nothing was stored; see its subclasses.
            WrongConnection: the connection is none of this application's database.
            DatabaseUnavailable: the database could not be reached; nothing was stored, or an answer got lost.
        """
        return self.enqueue_many([_one_spec(name_or_spec, payload, options)], connection=connection)[0]

    def enqueue_many(self, specs: Sequence[Spec], *, connection: Any = None) -> list[Enqueued]:
        """Store many commands in one transaction, all or none; answers come in the order of the specs.

        With a `connection` that transaction is the caller's, as with `enqueue`.
        """
        observers = self.surroundings.observers
        return enqueue.enqueue(
            self.database, self.registry, self.wake, specs, observers=observers, connection=connection
        )

    def enqueue_or_accept(
        self, name_or_spec: str | Spec, payload: Any = None, /, **options: Unpack[SpecOptions]
    ) -> Enqueued | Accepted:
        """Do what `enqueue` does; if the database is away or too busy, have the command kept until it can be stored.

        For that a deployment has a queue (DUREX_INGEST_URL); where there is none, this is `enqueue`.

        Raises:
            InvalidSpec: a part was refused, and nothing was stored; see its subclasses.
            DatabaseUnavailable: the database could not be reached, and the command is not kept.
        """
        spec = _one_spec(name_or_spec, payload, options)
        observers = self.surroundings.observers
        return operations.ingest.enqueue_or_accept(
            self.database, self.registry, self.wake, self.ingest, spec, observers=observers
        )

    async def aenqueue(
        self, name_or_spec: str | Spec, payload: Any = None, /, **options: Unpack[SpecOptions]
    ) -> Enqueued:
        """Do what `enqueue` does without blocking the event loop."""
        spec = _one_spec(name_or_spec, payload, options)
        return await asyncio.to_thread(self.enqueue, spec)

    def health(self) -> "Health":
        """Ask whether the database answers.

        Raises:
            DatabaseUnavailable: it does not.
            SchemaMissing: it was never migrated.
        """
        return operations.schema.health(self.database)

    def migrate(self) -> list[str]:
        """Bring the database's schema up to date; return the names of the migrations that were applied."""
        with self._lock:
            applied = operations.schema.migrate(self._open(), self.retention)
            operations.schema.publish(self._open(), self.registry)
            return applied

    def _open(self) -> Database:
        if self._instead:
            return self._instead[0]
        if self._database is None:
            self._database = open_database(self.database_url, access(self.database_url))
        return self._database

    def worker(
        self,
        *,
        queues: Sequence[str] | None = None,
        concurrency: int = 10,
        lease: timedelta = LEASE,
        grace: timedelta = GRACE,
    ) -> "Worker":
        """Return a worker for this process; call its `run`, and `stop` from elsewhere.

        Args:
            queues: which to serve (default: all of this application).
            concurrency: how many attempts run side by side.
            lease: how long a vanished worker's commands stay taken; running ones extend it.
            grace: how long attempts may go on after `stop` before they are given back.
        """
        from durex_core.local.worker import Worker  # noqa: PLC0415  it loops, which nothing in Lambda does

        return Worker(
            self.database,
            self.registry,
            self._bell,
            queues=queues,
            concurrency=concurrency,
            lease=lease,
            grace=grace,
            retention=self.retention,
            surroundings=self.surroundings,
        )


def _one_spec(name_or_spec: str | Spec, payload: Any, options: SpecOptions) -> Spec:
    if not isinstance(name_or_spec, Spec):
        return make_spec(name_or_spec, payload, options)
    if payload is not None or options:
        raise InvalidSpec("payload", "is part of the spec already; put it and the options into the Spec")
    return name_or_spec
