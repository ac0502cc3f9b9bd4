"""Loading SQL: one statement a file, `sql/<dialect>/<noun>/<verb>.sql`.

Parameters are written `:name` in both dialects. Of many rows Postgres takes each column by itself, as `:rows.column`,
and SQLite the document that all of them are. `:now` is the database's own clock, unless a test passes virtual time.
SQLite has no data-modifying CTE, so a SQLite file may hold several statements, split at a `;` that ends a line; they
run one by one in one transaction.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Literal

from durex_core.records import record

Dialect = Literal["postgres", "sqlite"]

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)(\.[a-z_]+)?\b")
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)

_NOW = {
    "postgres": "coalesce(%(now)s::timestamptz, now())",
    "sqlite": "coalesce(:now, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000)",
}


@record
class Statement:
    """The text of one SQL file, ready for its driver."""

    name: str
    parts: tuple[str, ...]
    parameters: frozenset[str]


@cache
def load(dialect: Dialect, name: str) -> Statement:
    """Return the statement `<noun>/<verb>` in a dialect."""
    return parse(dialect, name, (files("durex_core") / "sql" / dialect / f"{name}.sql").read_text())


def parse(dialect: Dialect, name: str, text: str) -> Statement:
    """Turn the text of a SQL file into a statement; a semicolon at the end of a line separates parts."""
    code = _COMMENT.sub("", text)
    parts = tuple(_for_driver(dialect, part.strip()) for part in _STATEMENT_END.split(code) if part.strip())
    return Statement(name, parts, frozenset(match[1] for match in _PARAMETER.finditer(code)))


def names(dialect: Dialect) -> list[str]:
    """Return the names of all statements of a dialect, sorted."""
    root = files("durex_core") / "sql" / dialect
    return sorted(f"{noun.name}/{file.name.removesuffix('.sql')}" for noun in root.iterdir() for file in noun.iterdir())


def _for_driver(dialect: Dialect, code: str) -> str:
    if dialect == "postgres":
        return _PARAMETER.sub(_postgres_parameter, code.replace("%", "%%"))
    return _PARAMETER.sub(lambda match: _NOW["sqlite"] if match[1] == "now" else match[0], code)


def _postgres_parameter(match: re.Match[str]) -> str:
    return _NOW["postgres"] if match[1] == "now" else f"%({match[1]}{match[2] or ''})s"
