"""A pytest plugin: with `--every-statement` a session fails if a statement never ran on one of the databases."""

from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

import pytest

from durex_core.store import statements
from durex_core.store.database import Row
from durex_core.store.postgres_connection import PostgresConnection
from durex_core.store.sqlite import SqliteConnection


class EveryStatement:
    """Remembers what the session ran, in this process."""

    def __init__(self) -> None:
        """Listen to both kinds of connection."""
        self.ran: set[tuple[str, str]] = set()
        for connection in (PostgresConnection, SqliteConnection):
            connection.run = self._recorded(connection.run)  # type: ignore[method-assign]

    def never_ran(self) -> list[str]:
        """Name the files of the statements that did not run."""
        wanted = {(dialect, name) for dialect in get_args(statements.Dialect) for name in statements.names(dialect)}
        return [f"durex_core/sql/{dialect}/{name}.sql" for dialect, name in sorted(wanted - self.ran)]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a session that would pass otherwise."""
        if self.never_ran() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which statements did not run."""
        never_ran = self.never_ran()
        if never_ran:
            terminalreporter.section("statements that never ran (--every-statement)", red=True)
            terminalreporter.write_line("\n".join(never_ran))

    def _recorded(self, run: Callable[..., list[Row]]) -> Callable[..., list[Row]]:
        @wraps(run)
        def recording(connection: Any, statement: str, **parameters: Any) -> list[Row]:
            answer = run(connection, statement, **parameters)
            self.ran.add((connection.dialect, statement))
            return answer

        return recording
