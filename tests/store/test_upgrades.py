"""A database of the first release, with commands in every state, is brought up to date: all is read as it was."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from factories import QUEUE, START
from virtual_store import VirtualStore, query, schema_of

from durex_core.backoff import Constant
from durex_core.ids import new_id
from durex_core.model import Command, ErrorInfo, PastAttempt, Retention, State
from durex_core.rules.outcomes import Returned
from durex_core.store import migrate
from durex_core.store.database import Database, open_database
from durex_core.store.rows import to_microseconds

SECOND = timedelta(seconds=1)
LEASE_END = START + timedelta(hours=1)
LIVE = [state for state in State if not state.is_terminal]
FINISHED = [state for state in State if state.is_terminal]
FIRST_RELEASE = 1


@dataclass(frozen=True)
class Row:
    """What the first release stored, and how it reads."""

    table: str
    columns: dict[str, Any]
    command: Command


def old_row(state: State, **differing: Any) -> Row:
    """Return a row of the first release in which every column that it had says something."""
    is_started, is_finished = state is State.STARTED, state.is_terminal
    error = {"type": "ValueError", "message": "größer", "traceback": None}
    past = {"outcome": "failed", "attempt": 1, "lease_number": 1, "worker": "a", "started_at": START, "error": error}
    common: dict[str, Any] = {
        "id": new_id(),
        "name": f"name_{state}",
        "queue": QUEUE,
        "state": state,
        "priority": -7,
        "ready_at": START + SECOND,
        "attempt": 2,
        "retries": 5,
        "run": 1,
        "lease_number": 3,
        "started_at": START + 2 * SECOND if is_started or is_finished else None,
        "created_at": START - SECOND,
        "dead_letter": False,
        "parent_id": new_id(),
        "worker": "worker" if is_started or is_finished else None,
        "correlation_id": "order:42",
        "unique_key": f"unique {state}",
        "idempotency_key": f"request {state}",
        "payload": {"größe": [1.0, 2**80, None]},
        "tags": ["b", "a"],
    } | differing
    finished: dict[str, Any] = {
        "finished_at": START + 3 * SECOND,
        "result": [1.0] if state is State.COMPLETED else None,
        "error": None if state is State.COMPLETED else error,
    }
    lease = {"lease_expires_at": LEASE_END if is_started else None}
    return Row(
        table="finished_commands" if is_finished else "commands",
        columns=common
        | (finished | {"retention": state.retention} if is_finished else lease)
        | {
            "timeout_seconds": 1.5,
            "backoff": {"kind": "constant", "delay": 2.5},
            "history": [past | {"ended_at": START}],
        },
        command=Command(
            **{name: tuple(value) if name == "tags" else value for name, value in common.items()},
            **(
                {"lease_expires_at": None} | finished | {"error": to_error(finished["error"])} if is_finished else lease
            ),
            backoff=Constant(timedelta(seconds=2.5)),
            timeout=timedelta(seconds=1.5),
            history=(
                PastAttempt(
                    attempt=1,
                    lease_number=1,
                    outcome="failed",
                    started_at=START,
                    ended_at=START,
                    worker="a",
                    error=to_error(error),
                ),
            ),
        ),
    )


def to_error(error: dict[str, Any] | None) -> ErrorInfo | None:
    return ErrorInfo(**error) if error else None


@pytest.fixture
def old(empty_url: str) -> Iterator[Database]:
    """A database of the first release, of each kind in turn."""
    database = open_database(empty_url)
    database.migrate([step for step in migrate.migrations(database.dialect) if step.version <= FIRST_RELEASE])
    yield database
    database.close()


def insert(database: Database, row: Row) -> None:
    is_postgres = database.dialect == "postgres"

    def plain(value: Any) -> Any:
        match value:
            case dict() | list():
                return json.dumps(
                    value, default=lambda moment: plain(moment) if not is_postgres else moment.isoformat()
                )
            case datetime():
                return value if is_postgres else to_microseconds(value)
            case UUID() | State() | Retention():
                return str(value)
            case _:
                return value

    names = ", ".join(row.columns)
    marks = ", ".join(["%s" if is_postgres else "?"] * len(row.columns))
    with database.autocommit() as connection:
        text = f"INSERT INTO {schema_of(connection)}{row.table} ({names}) VALUES ({marks})"
        query(connection, text, [plain(value) for value in row.columns.values()])


@pytest.mark.parametrize("state", State)
def test_a_command_of_the_first_release_is_read_as_it_was(old: Database, state: State):
    row = old_row(state)
    insert(old, row)

    assert old.migrate()[0] == "0002_endings"

    assert VirtualStore(old).get(row.command.id) == row.command


def test_nothing_is_lost_and_nothing_is_added(old: Database):
    rows = [old_row(state, unique_key=f"{state} {number}") for state in State for number in range(3)]
    for row in rows:
        insert(old, row)

    old.migrate()

    store = VirtualStore(old)
    assert {row.command.id: store.get(row.command.id) for row in rows} == {row.command.id: row.command for row in rows}
    assert (store.count("commands"), store.count("finished_commands")) == (3 * len(LIVE), 3 * len(FINISHED))
    assert (store.count("joined"), store.count("keys")) == (0, 0)


def test_live_commands_of_the_first_release_go_on(old: Database):
    rows = {state: old_row(state) for state in (State.SCHEDULED, State.PENDING, State.STARTED)}
    for row in rows.values():
        insert(old, row)
    old.migrate()
    store = VirtualStore(old)
    store.advance(timedelta(minutes=1))

    # An attempt that runs while its database is migrated holds its lease, and may report.
    running = rows[State.STARTED].command
    assert store.heartbeat(running, lease=SECOND)
    assert store.settle(running, Returned("done"))
    for claimed in store.claim():
        assert (claimed.attempt, claimed.lease_number, claimed.expires_at) == (3, 4, None)
        assert store.settle(claimed, Returned("done"))

    assert {store.get(row.command.id).result for row in rows.values()} == {"done"}
    assert store.count("commands") == 0


def test_keys_of_the_first_release_are_held_still(old: Database):
    live, finished = old_row(State.PENDING), old_row(State.COMPLETED)
    for row in (live, finished):
        insert(old, row)
    with old.autocommit() as connection:
        expires = (
            START + timedelta(days=15) if old.dialect == "postgres" else to_microseconds(START + timedelta(days=15))
        )
        mark = "%s" if old.dialect == "postgres" else "?"
        query(
            connection,
            f"INSERT INTO {schema_of(connection)}keys VALUES ('idempotency:{QUEUE}', 'k', {mark}, {mark})",
            [str(finished.command.id), expires],
        )
    old.migrate()
    store = VirtualStore(old)

    assert store.add(idempotency_key="k") == finished.command.id
    assert store.add(unique_key=live.command.unique_key) == live.command.id
    assert store.add(unique_key=finished.command.unique_key) != finished.command.id
