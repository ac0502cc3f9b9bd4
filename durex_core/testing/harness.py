"""The harness: an application under test, with its commands run by durex's own machinery on virtual time."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from random import Random
from types import TracebackType
from typing import Any, Self

from durex_core.app import Durex
from durex_core.errors import DurexError
from durex_core.local import LEASE
from durex_core.model import Command, State
from durex_core.testing.clock import VirtualClock
from durex_core.testing.crew import Crew, Tally
from durex_core.testing.database import VirtualTimeDatabase
from durex_core.testing.enqueued import (
    ANY,
    NameOrHandle,
    everything,
    failure_text,
    listing,
    matching,
    name_of,
    wanted_text,
)
from durex_core.testing.errors import ClockError, HarnessBusy
from durex_core.testing.throwaway import throwaway
from durex_core.testing.wakes import InlineWake, QuietWake

__all__ = ["ANY", "Harness"]

PATIENCE = timedelta(seconds=60)
LIMIT = 1000
ADVANCE_LIMIT = 10_000


class Harness:
    """Puts an application on a throw-away database and on virtual time, for the length of a `with` block.

    Commands run with the real runner, writer and passes, when the test says so; one at a time and with the same
    randomness in every run, unless told otherwise. Afterwards the application has the database that it had before.

    Attributes:
        app: the application under test.
        clock: its virtual time. To move it runs nothing; `advance` moves it and runs what becomes due.
    """

    def __init__(
        self,
        app: Durex,
        *,
        start: datetime | None = None,
        database: str = "sqlite:///:memory:",
        inline: bool = False,
        concurrency: int = 1,
        lease: timedelta = LEASE,
        patience: timedelta = PATIENCE,
        seed: int = 0,
    ) -> None:
        """Prepare an application; nothing is opened before the block begins.

        Args:
            app: the application under test.
            start: the moment at which virtual time begins (default: the real now).
            database: a SQLite URL, or that of a Postgres server on which a database may be made and dropped.
            inline: whether `enqueue` runs what is ready before it returns.
            concurrency: how many attempts run side by side.
            lease: how long, in virtual time, the commands of a vanished worker stay taken.
            patience: how long, in real time, a handler may take before the harness raises.
            seed: what the jitter of backoffs is drawn from.
        """
        self.app = app
        self.clock = VirtualClock(start)
        self._url = database
        self._options: dict[str, Any] = {"concurrency": concurrency, "lease": lease, "patience": patience}
        self._seed = seed
        self._busy = threading.Lock()
        self._wake = InlineWake(lambda: self._run_ready(LIMIT), self._busy) if inline else QuietWake()
        self._entered: Crew | None = None
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Make the database and point the application at it."""
        with ExitStack() as exits:
            database = VirtualTimeDatabase(exits.enter_context(throwaway(self._url)), self.clock)
            crew = Crew(database, self.app, random=Random(self._seed), **self._options)  # noqa: S311  jitter
            exits.enter_context(closing(crew))
            exits.enter_context(self.app.redirected(database, self._wake))
            self._prepare()
            self._entered, self._exits = crew, exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the application back what it had, and throw the database away."""
        self._entered = None
        self._exits.close()

    @property
    def now(self) -> datetime:
        """The virtual moment."""
        return self.clock.now

    @property
    def failures(self) -> list[Command]:
        """The commands that failed for good, each with its `error`, in the order of their creation."""
        return [command for command in self.commands() if command.state in (State.DEAD_LETTER, State.FAILED)]

    def commands(self, name: NameOrHandle | None = None) -> list[Command]:
        """Return what was enqueued, live and finished, in the order of its creation; by name, if one is given.

        Each run of a command that repeats is listed by itself; they share their id and differ in `run`.
        """
        return [command for command in everything(self.app) if name is None or command.name == name_of(name)]

    def run_one(self) -> Command | None:
        """Run one attempt of the most urgent ready command; return the command after it, or None if none was ready."""
        with self._alone():
            self._crew.tidy()
            ended = self._crew.turn(1)
        return self.app.get(ended[0].command.id) if ended else None

    def run_until_idle(self, *, limit: int = LIMIT) -> int:
        """Run what is ready now, and what follows from it at this moment, until nothing is; return how many attempts.

        Raises:
            EndlessLoop: more than `limit` attempts ran.
        """
        with self._alone():
            return self._run_ready(limit)

    def advance(self, by: timedelta, *, limit: int = ADVANCE_LIMIT) -> int:
        """Run what is ready, and let time pass; what becomes due meanwhile runs in order, each at its own moment.

        Returns how many attempts ran.

        Raises:
            EndlessLoop: more than `limit` attempts ran.
            ClockError: `by` is negative.
        """
        if by < timedelta(0):
            raise ClockError(f"cannot advance by {by}: virtual time never goes back")
        with self._alone():
            return self._run_until(self.now + by, Tally(limit))

    def assert_enqueued(self, name: NameOrHandle, payload: Any = ANY, **options: Any) -> Command:
        """Assert that a command was enqueued, whatever has become of it since; return the first that fits.

        The payload may be given as the handler's model. Options are those of `Spec`, such as `delay` or `unique_key`,
        and attributes of `Command`, such as `queue` or `state`. `ANY` fits everything.
        """
        found = self.commands()
        fitting = matching(found, name_of(name), payload, options)
        if not fitting:
            wanted = wanted_text(name_of(name), payload, options)
            near = sorted(found, key=lambda command: command.name != name_of(name))
            raise AssertionError(f"no {wanted} was enqueued, but:\n{listing(near, options)}")
        return fitting[0]

    def assert_not_enqueued(self, name: NameOrHandle, payload: Any = ANY, **options: Any) -> None:
        """Assert that no command was enqueued that fits; see `assert_enqueued`."""
        fitting = matching(self.commands(), name_of(name), payload, options)
        if fitting:
            wanted = wanted_text(name_of(name), payload, options)
            raise AssertionError(f"no {wanted} was to be enqueued, but:\n{listing(fitting, options)}")

    def assert_no_failures(self) -> None:
        """Assert that no command failed for good; the message has the traceback of each that did."""
        failures = self.failures
        if failures:
            told = "\n\n".join(failure_text(command) for command in failures)
            raise AssertionError(f"commands that failed for good: {len(failures)}\n\n{told}")

    @property
    def _crew(self) -> Crew:
        if self._entered is None:
            raise DurexError("this harness is not in use; write: with Harness(app) as harness: …")
        return self._entered

    def _prepare(self) -> None:
        self.app.migrate()
        if self.app.find(limit=1).commands:
            raise DurexError("the database holds commands already; give the harness an empty one, such as a new file")

    def _run_ready(self, limit: int) -> int:
        tally = Tally(limit)
        self._crew.run_ready(tally)
        return tally.total

    def _run_until(self, target: datetime, tally: Tally) -> int:
        """Step from due moment to due moment; a handler may have moved the clock, too."""
        self._crew.run_ready(tally)
        while (due := self._crew.next_due()) and self.now + due <= target:
            self.clock.set(self.now + due)
            self._crew.run_ready(tally)
        self.clock.set(max(target, self.now))
        self._crew.run_ready(tally)
        return tally.total

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise HarnessBusy(
                "commands are running already: a handler or another thread asked for more; let the test itself do so"
            )
        try:
            yield
        finally:
            self._busy.release()
