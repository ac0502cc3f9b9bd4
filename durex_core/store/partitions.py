"""Partitions of the finished commands: made ahead, dropped whole. Postgres alone has them.

A partition's name tells its bounds, `finished_<class>_<first day>_<day after the last>`. There are at most 16 for each
class, whatever the retention: a look-up by id probes them all.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import psycopg
from psycopg import sql
from psycopg.errors import CheckViolation, LockNotAvailable

from durex_core.model import Retention, RetentionPolicy
from durex_core.store.database import Connection, Row
from durex_core.store.postgres_connection import PostgresConnection

_AHEAD = 2
_PARTS = 12
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"finished_[a-z]+_(\d{8})_(\d{8})")
_LOCK = 0x6475726570  # "durep" in ASCII
# What is only added to, and dropped whole, leaves autovacuum nothing to do.
_ONLY_ADDED_TO = sql.SQL("autovacuum_vacuum_insert_threshold = -1")

Span = tuple[datetime, datetime]


def keep_up(connection: Connection, policy: RetentionPolicy, *, now: datetime | None = None) -> int:
    """Make the partitions of the days to come and drop those past their retention; return how many changed.

    Does nothing on SQLite, nor while another process is at it.
    """
    if connection.dialect != "postgres":
        return 0
    raw = cast("PostgresConnection", connection).raw
    if not _try_lock(raw):
        return 0
    moment = now or _database_now(raw)
    return sum(
        _make(raw, retention, policy.keep(retention), moment) + _drop(raw, retention, moment - policy.keep(retention))
        for retention in Retention
    )


def spans_needed(existing: list[Span], keep: timedelta, now: datetime) -> Iterator[Span]:
    """Yield the spans, of whole UTC days, that are missing from now until two spans ahead."""
    length = max(_DAY, -(-keep // (_PARTS * _DAY)) * _DAY)
    until = now + _AHEAD * length
    start = max([end for _, end in existing if end > now], default=_EPOCH + (now - _EPOCH) // _DAY * _DAY)
    while start <= until:
        yield start, start + length
        start += length


def _make(raw: psycopg.Connection[Row], retention: Retention, keep: timedelta, now: datetime) -> int:
    return sum(_create(raw, retention, span) for span in spans_needed(_existing(raw, retention), keep, now))


def _create(raw: psycopg.Connection[Row], retention: Retention, span: Span) -> bool:
    """Create one partition; rows that already stand in the DEFAULT one for its days stay there and are pruned there."""
    command = sql.SQL("CREATE TABLE durex.{} PARTITION OF durex.{} FOR VALUES FROM ({}) TO ({}) WITH ({})").format(
        sql.Identifier(_name(retention, span)),
        sql.Identifier(f"finished_{retention}"),
        sql.Literal(span[0]),
        sql.Literal(span[1]),
        _ONLY_ADDED_TO,
    )
    return _brief(raw, command)


def _drop(raw: psycopg.Connection[Row], retention: Retention, horizon: datetime) -> int:
    return sum(
        _brief(raw, sql.SQL("DROP TABLE durex.{}").format(sql.Identifier(_name(retention, span))))
        for span in _existing(raw, retention)
        if span[1] <= horizon
    )


def _brief(raw: psycopg.Connection[Row], command: sql.Composed) -> bool:
    """Run a change that needs the parent's lock, and leave it for next time if the lock is not free at once."""
    try:
        with raw.transaction():
            raw.execute("SET LOCAL lock_timeout = '2s'")
            raw.execute(command)
    except (CheckViolation, LockNotAvailable):
        return False
    return True


def _existing(raw: psycopg.Connection[Row], retention: Retention) -> list[Span]:
    found = raw.execute(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = %s::regclass",
        (f"durex.finished_{retention}",),
    ).fetchall()
    matches = (_NAME.search(row["name"]) for row in found)
    return sorted((_day(match[1]), _day(match[2])) for match in matches if match)


def _name(retention: Retention, span: Span) -> str:
    return f"finished_{retention}_{span[0]:%Y%m%d}_{span[1]:%Y%m%d}"


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC)


def _try_lock(raw: psycopg.Connection[Row]) -> bool:
    found = raw.execute("SELECT pg_try_advisory_xact_lock(%s) AS taken", (_LOCK,)).fetchone()
    return bool(found and found["taken"])


def _database_now(raw: psycopg.Connection[Row]) -> datetime:
    found = raw.execute("SELECT now() AS moment").fetchone()
    return cast("datetime", found["moment"]).astimezone(UTC) if found else _EPOCH
