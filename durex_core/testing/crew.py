"""Who works in a harness: the real runner, the real writer and the real passes, one turn at a time."""

import queue
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from random import Random

from durex_core.app import Durex
from durex_core.execution.commits import Written
from durex_core.execution.runner import Runner
from durex_core.execution.writer import Writer
from durex_core.passes.dispatch import dispatch
from durex_core.passes.execute import execute
from durex_core.passes.rescue import rescue
from durex_core.rules.outcomes import Settlement
from durex_core.store import commands
from durex_core.store.database import Database
from durex_core.testing.errors import EndlessLoop, StillRunning


class Tally:
    """Counts attempts by command and ends a loop that goes on for ever."""

    def __init__(self, limit: int) -> None:
        """Allow so many attempts."""
        self._limit = limit
        self._attempts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many attempts there were."""
        return self._attempts.total()

    def add(self, ended: Iterable[Settlement]) -> None:
        """Count attempts.

        Raises:
            EndlessLoop: there were more than the limit allows.
        """
        self._attempts.update(settlement.command.name for settlement in ended)
        if self.total > self._limit:
            raise EndlessLoop(self._limit, self._attempts)


class Crew:
    """Runs what is ready, each attempt to its end before the next turn."""

    def __init__(
        self,
        database: Database,
        app: Durex,
        *,
        concurrency: int,
        lease: timedelta,
        patience: timedelta,
        random: Random,
    ) -> None:
        """Start the threads of the runner and the writer for the commands of an application."""
        self._database = database
        self._registry = app.registry
        self._lease = lease
        self._patience = patience
        self._ended: queue.SimpleQueue[Settlement] = queue.SimpleQueue()
        self._runner = Runner(
            app.registry,
            Writer(database, lease=lease),
            concurrency=concurrency,
            on_settled=self._on_settled,
            random=random,
            surroundings=app.surroundings,
        )

    def run_ready(self, tally: Tally) -> None:
        """Run what is ready, and what follows from it at this moment, until nothing is."""
        self.tidy()
        while ended := self.turn(self._runner.concurrency):
            tally.add(ended)

    def tidy(self) -> None:
        """Do a worker's other duties: take back leases that ran out, promote what is due."""
        rescue(self._database)
        dispatch(self._database, queues=self._registry.queues)

    def turn(self, limit: int) -> list[Settlement]:
        """Run at most `limit` ready commands side by side and return how they ended.

        Raises:
            StillRunning: one of them did not end within the patience.
        """
        executed = execute(
            self._database,
            self._runner,
            queues=self._registry.queues,
            limit=limit,
            lease=self._lease,
            worker="harness",
        )
        try:
            return [self._ended.get(timeout=self._patience.total_seconds()) for _ in range(executed.started)]
        except queue.Empty:
            names = {running.command.name for running in self._runner.running}
            raise StillRunning(names, self._patience) from None

    def next_due(self) -> timedelta | None:
        """Return how long until something becomes ready by itself, or None if nothing will."""
        with self._database.autocommit() as connection:
            due = commands.next_due(connection, self._registry.queues)
        # What is due and yet was not claimed just now becomes ready by something else than time.
        return due if due and due > timedelta(0) else None

    def close(self) -> None:
        """End the threads; what still runs is given back."""
        if self._runner.running:
            self._runner.release("the harness was closed")
            self._runner.wait_until_idle(self._patience.total_seconds())
        self._runner.close()

    def _on_settled(self, settled: Sequence[tuple[Settlement, Written]]) -> None:
        for settlement, _ in settled:
            self._ended.put(settlement)
