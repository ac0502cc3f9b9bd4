"""Races, staged: one transaction is held open, the other is seen waiting for it, and only then the first one ends."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
from virtual_store import VirtualStore

from durex_core.store.database import Connection, open_database

PATIENCE_SECONDS = 30


class ChangedItsMind(Exception):
    """Rolls a transaction back."""


class Stage:
    """A Postgres with one transaction held open, and another one running into it."""

    def __init__(self, url: str) -> None:
        """Open the database, and a connection that watches who waits."""
        self.store = VirtualStore(open_database(url))
        self.database = self.store.database
        self._observer = psycopg.connect(url, autocommit=True)
        self._pool = ThreadPoolExecutor(1)

    def close(self) -> None:
        """Close everything."""
        self._pool.shutdown()
        self._observer.close()
        self.database.close()

    @contextmanager
    def held_open(self) -> Iterator[Connection]:
        """Hold a transaction open for the length of the block, unless it changes its mind."""
        try:
            with self.database.transaction() as connection:
                yield connection
        except ChangedItsMind:
            return

    def runs_into_it(self, work: Callable[[], Any]) -> Future[Any]:
        """Start work in another transaction, and return when it is seen to wait for a lock."""
        running = self._pool.submit(work)
        pause = threading.Event()
        for _ in range(PATIENCE_SECONDS * 100):
            if self._somebody_waits():
                return running
            assert not running.done(), f"it did not wait: {running.result()}"
            pause.wait(0.01)
        raise AssertionError("nobody came to wait")

    def _somebody_waits(self) -> bool:
        waiting = self._observer.execute(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return waiting.fetchone() is not None


def at_once(number: int, work: Callable[[int], Any]) -> Sequence[Any]:
    """Run work in threads that all start at the same moment."""
    start = threading.Barrier(number)

    def wait_and_work(position: int) -> Any:
        start.wait(PATIENCE_SECONDS)
        return work(position)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(wait_and_work, range(number)))
