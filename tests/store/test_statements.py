"""The SQL files of the two dialects say the same: the same names, parameters and columns, each called by the store.

That every statement runs on both databases in the course of the suite is the business of `--every-statement`.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest
from factories import new_command

import durex_core
from durex_core.store import rows, statements
from durex_core.store.database import Connection, open_database
from durex_core.store.statements import Dialect

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
NAMES = statements.names("postgres")
STORE = Path(durex_core.__file__).parent

# What a command has when it has ended, and not before.
ENDED = {"finished_at", "result", "error", "recovery"}

# What a statement is given to run over nothing.
NOTHING: dict[str, Any] = {
    **rows.one_new_row(new_command()),
    "bucket": "2026-03-01T12:00:00Z",
    "error": "null",
    "at_once": 1,
    "id": "019a2063-fc05-72e4-9bc1-56922de41a35",
    "ids": "[]",
    "keep_seconds": 1.0,
    "key": "key",
    "lease_seconds": 1.0,
    "limit": 1,
    "now": None,
    "pokes": False,
    "queues": "[]",
    "rows": "[]",
    **{f"rows.{column}": "{}" for column in rows.ended_rows([])},
    "scope": "scope",
    "states": "[]",
    "unique_keys": "[]",
    "within_seconds": 1.0,
    "worker": "worker",
}


@pytest.fixture
def connections(postgres_url: str, sqlite_url: str) -> Iterator[dict[Dialect, Connection]]:
    """An empty, migrated database of each dialect."""
    databases = {"postgres": open_database(postgres_url), "sqlite": open_database(sqlite_url)}
    with databases["postgres"].autocommit() as postgres, databases["sqlite"].autocommit() as sqlite:
        yield {"postgres": postgres, "sqlite": sqlite}
    for database in databases.values():
        database.close()


def test_both_dialects_have_the_same_statements():
    assert statements.names("sqlite") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_both_dialects_take_the_same_parameters(name: str):
    assert statements.load("postgres", name).parameters == statements.load("sqlite", name).parameters


def test_both_dialects_return_the_same_columns(connections: dict[Dialect, Connection]):
    for name in NAMES:
        postgres, sqlite = (columns(connections[dialect], name) for dialect in DIALECTS)

        assert set(postgres) == set(sqlite), name
        assert len(postgres) == len(set(postgres)), name


def test_a_claimed_row_has_every_column_of_its_table_but_what_the_claim_gives_all_of_them(
    connections: dict[Dialect, Connection],
):
    for dialect in DIALECTS:
        claimed = columns(connections[dialect], "commands/claim")
        found = columns(connections[dialect], "commands/get")

        assert set(found) - set(claimed) == ENDED | {"state", "worker", "lease_expires_at"}
        assert set(claimed) - set(found) == {"is_more", "due_seconds"}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_statement_begins_with_what_it_does(dialect: Dialect, name: str):
    first_line = (STORE / "sql" / dialect / f"{name}.sql").read_text().splitlines()[0]

    assert re.fullmatch(r"-- [A-Z].+", first_line)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_sqlite_needs_several_parts(dialect: Dialect):
    parts = {name: len(statements.load(dialect, name).parts) for name in NAMES}

    assert {name for name, number in parts.items() if number != 1} == (
        {
            "commands/cancel",
            "commands/claim",
            "commands/finish",
            "commands/repeat",
            "finished/revive",
            "joins/gather",
        }
        if dialect == "sqlite"
        else set()
    )


def test_every_statement_is_called_by_name_and_every_name_called_has_a_statement():
    called = set(calls())

    assert called == set(NAMES)


def test_a_semicolon_that_ends_a_line_separates_parts_and_comments_are_dropped():
    parsed = statements.parse("sqlite", "noun/verb", "-- What; it does.\nSELECT ';' AS a;\n\n-- Then.\nSELECT :b;\n")

    assert parsed.parts == ("SELECT ';' AS a", "SELECT :b")
    assert parsed.parameters == {"b"}


def test_casts_and_clock_times_are_no_parameters_and_percent_signs_survive():
    parsed = statements.parse("postgres", "noun/verb", "SELECT '12:30', '5 %', :a::text, :now, :rows.id::uuid[]")

    assert parsed.parameters == {"a", "now", "rows"}
    assert parsed.parts[0].startswith("SELECT '12:30', '5 %%', %(a)s::text, coalesce(%(now)s")
    assert parsed.parts[0].endswith(", %(rows.id)s::uuid[]")


def test_sqlite_tells_every_millisecond_of_its_clock_from_the_next(sqlite_url: str):
    (text,) = statements.parse("sqlite", "noun/verb", "SELECT :now AS now").parts
    begin = 1_795_407_700_000
    with closing(open_database(sqlite_url)) as database, database.autocommit() as connection:
        told = [
            connection.raw.execute(
                text.replace("'now'", f"{moment} / 86400000.0 + 2440587.5"), {"now": None}
            ).fetchone()[0]  # type: ignore[attr-defined]
            for moment in range(begin, begin + 500)
        ]

    assert told == [moment * 1000 for moment in range(begin, begin + 500)]


def columns(connection: Connection, name: str) -> list[str]:
    """Run a statement over nothing and return the columns of its answer."""
    loaded = statements.load(connection.dialect, name)
    answers = [
        connection.raw.execute(part, NOTHING)  # type: ignore[attr-defined]  # both kinds have it
        for part in loaded.parts
    ]
    return [column[0] for cursor in answers for column in cursor.description or ()]


def calls() -> Iterator[str]:
    """Yield the statement of every `run(…)` in the code, and in the store whatever is written like a statement's name.

    An f-string counts for every name that fits it.
    """
    for file in STORE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if file.parent.name == "store":
                yield from named(node)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "run":
                yield from named(node.args[0]) if node.args else ()


def named(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(name)) if re.fullmatch(r"[a-z]+/[a-z_]*[a-z]", name):
            yield name
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), ast.FormattedValue()]):
            yield from (name for name in NAMES if name.startswith(start))
