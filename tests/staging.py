"""A worker in a thread, waiting for what it does, and staging races inside its database."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg

from durex_core.clock import monotonic_seconds
from durex_core.local.worker import Worker
from durex_core.operations.wake import Wake

PATIENCE_SECONDS = 20.0


class Hand:
    """A worker that runs in a thread until it is stopped."""

    def __init__(self, worker: Worker) -> None:
        """Start it."""
        self.worker = worker
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="test-worker", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Stop it, and fail if it does not end in time, or ended with an error."""
        self.worker.stop()
        self._thread.join(timeout_seconds)
        assert not self._thread.is_alive(), "the worker did not stop"
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:  # noqa: BLE001  it is raised again by stop
            self._error = error


class Stage:
    """Statements of the test's own on the database of the worker; table names work on both kinds."""

    def __init__(self, url: str) -> None:
        """Connect."""
        self.is_postgres = not url.startswith("sqlite")
        self._url = url
        self._connection = self._connect()

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement that commits by itself; `%s` stands for a value."""
        return self._run(self._connection, statement, values)

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(self.run(f"SELECT count(*) FROM {table}")[0][0])

    def finished(self, name: str) -> list[UUID]:
        """Return the ids of the finished commands of a name, as they ended."""
        found = self.run("SELECT id FROM finished_commands WHERE name = %s ORDER BY finished_at, id", name)
        return [row[0] if self.is_postgres else UUID(row[0]) for row in found]

    def runs(self, command_id: UUID) -> list[tuple[Any, ...]]:
        """Return number, state and result, as JSON, of the finished runs of a command."""
        found = self.run(
            "SELECT run, state, result FROM finished_commands WHERE id = %s ORDER BY run",
            str(command_id),
        )
        return [(run, state, result if self.is_postgres else json.loads(result)) for run, state, result in found]

    def expire_lease(self, command_id: UUID) -> None:
        """Let the lease of a command be over."""
        self.run(f"UPDATE commands SET lease_expires_at = {self._in(-1)} WHERE id = %s", str(command_id))

    def start_elsewhere(self, command_id: UUID, *, attempt: int = 1, lease_seconds: int) -> None:
        """Leave a command as a worker does that claims it and is killed; `lease_seconds` may be in the past."""
        self.run(
            "UPDATE commands SET state = 'started', attempt = %s, lease_number = %s, worker = 'gone',"
            f" lease_expires_at = {self._in(lease_seconds)} WHERE id = %s",
            *(attempt, attempt, str(command_id)),
        )

    def make_due(self, wake: Wake | None = None) -> None:
        """Let everything that waits for a time be due, and wake the workers of that."""
        self.run(f"UPDATE commands SET ready_at = {self._in(-1)} WHERE state = 'scheduled'")
        if wake is not None:
            wake.ready({})

    def in_queue(self, queue: str) -> list[tuple[Any, ...]]:
        """Return names and payloads of the commands that stand in a queue."""
        return self.run("SELECT name, payload FROM commands WHERE queue = %s ORDER BY created_at, id", queue)

    def refuse_result(self, text: str) -> None:
        """Let the database refuse every outcome whose result is this text."""
        if self.is_postgres:
            self.run(f"""ALTER TABLE finished_commands ADD CHECK (result::text IS DISTINCT FROM '"{text}"')""")
        else:
            self.run(
                f"""CREATE TRIGGER refuse BEFORE INSERT ON finished_commands WHEN NEW.result = '"{text}"'
                BEGIN SELECT raise(ABORT, 'refused by the test'); END"""
            )

    @contextmanager
    def refusing(self, name: str) -> Iterator[None]:
        """Let the database refuse every new command of a name during the block."""
        if self.is_postgres:
            self.run(f"ALTER TABLE commands ADD CONSTRAINT refused CHECK (name <> '{name}') NOT VALID")
        else:
            self.run(
                f"""CREATE TRIGGER refused BEFORE INSERT ON commands WHEN NEW.name = '{name}'
                BEGIN SELECT raise(ABORT, 'refused by the test'); END"""
            )
        yield
        self.run("ALTER TABLE commands DROP CONSTRAINT refused" if self.is_postgres else "DROP TRIGGER refused")

    @contextmanager
    def holding_writes(self) -> Iterator[None]:
        """Keep everybody else from writing commands during the block."""
        other = self._connect()
        lock = "LOCK TABLE commands IN SHARE ROW EXCLUSIVE MODE" if self.is_postgres else "SELECT 1"
        other.execute("BEGIN" if self.is_postgres else "BEGIN IMMEDIATE")
        try:
            other.execute(lock)
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()

    def has_waiters(self, statement: str = "") -> bool:
        """Whether a session of Postgres waits for a lock, with a statement that has this text in it."""
        return bool(
            self.run(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND position(%s in query) > 0",
                statement,
            )
        )

    def hears_within(self, seconds: float) -> bool:
        """Whether a notification comes in on a Postgres; `LISTEN` first."""
        return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))

    def end_sessions(self) -> int:
        """End every session of durex on a Postgres; return how many there were."""
        return len(
            self.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'durex'"
            )
        )

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def _in(self, seconds: int) -> str:
        """Return the SQL for so many seconds from now."""
        if self.is_postgres:
            return f"now() + interval '{seconds} seconds'"
        return f"CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000 + {seconds * 1_000_000}"

    def _connect(self) -> Any:
        if self.is_postgres:
            options = "-c search_path=durex"
            return psycopg.connect(self._url, autocommit=True, options=options, application_name="stage")
        path = self._url.removeprefix("sqlite:///")
        return sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_SECONDS, check_same_thread=False)

    def _run(self, connection: Any, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        cursor = connection.execute(
            statement if self.is_postgres else statement.replace("%s", "?"), values or None or ()
        )
        return cursor.fetchall() if cursor.description else []


def wait_until(is_so: Callable[[], Any], timeout_seconds: float = PATIENCE_SECONDS) -> Any:
    """Look until something is so, and return what was seen; fail if it does not come about in time."""
    until = monotonic_seconds() + timeout_seconds
    pause = threading.Event()
    while not (seen := is_so()):
        assert monotonic_seconds() < until, f"not so within {timeout_seconds} s"
        pause.wait(0.01)
    return seen
