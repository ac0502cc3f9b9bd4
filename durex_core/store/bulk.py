"""Bulk: many new commands into Postgres by COPY.

A row of a COPY in its binary form takes the server a third of the time of one that `commands/enqueue` reads out of a
document, and this process a tenth. It has no answer and no ON CONFLICT: what holds a unique key cannot come this way.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby, islice, repeat
from operator import attrgetter
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from durex_core import strict_json
from durex_core.model import NewCommand
from durex_core.store import rows
from durex_core.store.database import Connection

LEAST = 200
"""From how many commands on it pays: a COPY takes two round trips more than an INSERT."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # Postgres's own
_MICROSECOND = timedelta(microseconds=1)
_AT_ONCE = 250
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NOTHING = b"null"
_NULL = b"\xff\xff\xff\xff"
_size = struct.Struct("!i").pack

_Encoder = Callable[[Any], bytes]
_text: _Encoder = str.encode
_uuid: _Encoder = attrgetter("bytes")
_integer: _Encoder = struct.Struct("!i").pack
_float: _Encoder = struct.Struct("!d").pack
_boolean: _Encoder = struct.Struct("!?").pack


def _moment(value: datetime) -> bytes:
    return struct.pack("!q", (value - _EPOCH) // _MICROSECOND)


def _json(value: Any) -> bytes:
    return strict_json.encode(value).encode()


def _jsonb(value: Any) -> bytes:
    return b"\x01" + _json(value)


# What many commands have in common, in the order of their columns; their ids stand before it and their payloads behind.
_SHARED: dict[str, _Encoder] = {
    "name": _text,
    "queue": _text,
    "state": _text,
    "priority": _integer,
    "ready_at": _moment,
    "created_at": _moment,
    "retries": _integer,
    "timeout_seconds": _float,
    "dead_letter": _boolean,
    "parent_id": _uuid,
    "correlation_id": _text,
    "idempotency_key": _text,
    "backoff": _jsonb,
    "tags": _jsonb,
    "deadline_at": _moment,
    "expires_at": _moment,
    "extras": _json,
    "join_id": _uuid,
    "awaits": _integer,
    "compensations": _json,
}
_COPY = f"COPY durex.commands (id, {', '.join(_SHARED)}, payload) FROM STDIN (FORMAT binary)"
_BEFORE_ID = struct.pack("!hi", len(_SHARED) + 2, 16)

# Equal values may be written differently (1, 1.0, True): of those that are written as JSON only the same are alike.
_BY_IDENTITY = ("backoff", "extras", "compensations")
_equal = attrgetter(
    *(field.name for field in fields(NewCommand) if field.name not in {"id", "payload", *_BY_IDENTITY}),
)
_same = attrgetter(*_BY_IDENTITY)


Row = tuple[bytes, UUID, bytes]
"""What a command has in common with others, its id, and its payload as JSON."""

Block = tuple[Iterable[str], Iterable[UUID], Iterable[bytes]]
"""The names of some commands, their ids, and their payloads as JSON."""


@runtime_checkable
class Copying(Protocol):
    """A connection that can COPY."""

    def copy(self, statement: str, blocks: Iterable[bytes]) -> None:
        """Run a `COPY … FROM STDIN (FORMAT binary)` with the rows in these blocks.

        Raises:
            DatabaseError: the database refused them; the transaction is to be rolled back.
        """
        ...


def copy(connection: Connection, new: Sequence[NewCommand], *, now: datetime | None = None) -> list[NewCommand]:
    """Store those of many new commands that can be copied, and return the others."""
    if len(new) < LEAST or not isinstance(connection, Copying):
        return list(new)
    free = [command for command in new if command.unique_key is None]
    if len(free) < LEAST:
        return list(new)
    rows = _rows(free, _present(connection, now))
    some = iter(lambda: tuple(islice(rows, _AT_ONCE)), ())
    connection.copy(_COPY, _framed(_block(*zip(*each, strict=True)) for each in some))
    return [command for command in new if command.unique_key is not None]


def copy_alike(
    connection: Connection,
    templates: Mapping[str, NewCommand],
    blocks: Iterable[Block],
    *,
    now: datetime | None = None,
) -> None:
    """Store commands that are their template, by name, but for their ids and payloads.

    A block of them may be made while those before it are stored.
    """
    assert isinstance(connection, Copying)
    present = _present(connection, now)
    shared = {name: _shared(template, present) for name, template in templates.items()}
    connection.copy(_COPY, _framed(_block(map(shared.__getitem__, names), ids, texts) for names, ids, texts in blocks))


def _present(connection: Connection, now: datetime | None) -> datetime:
    (clock,) = connection.run("clock/read", now=now)
    present: datetime = clock["present_at"]
    return present


def _rows(new: Iterable[NewCommand], now: datetime) -> Iterator[Row]:
    for _, alike in groupby(new, key=_likeness):
        shared = b""
        for command in alike:
            shared = shared or _shared(command, now)
            yield shared, command.id, _json(command.payload)


def _framed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    yield _HEADER
    yield from blocks
    yield _TRAILER


def _block(shared: Iterable[bytes], ids: Iterable[UUID], payloads: Iterable[bytes]) -> bytes:
    """Return rows as COPY takes them; they are put together in C."""
    fields = [_NULL if payload == _NOTHING else _size(len(payload)) + payload for payload in payloads]
    return b"".join(chain.from_iterable(zip(repeat(_BEFORE_ID), map(_uuid, ids), shared, fields, strict=False)))


def _likeness(command: NewCommand) -> tuple[Any, ...]:
    return *_equal(command), *map(id, _same(command))


def _shared(command: NewCommand, now: datetime) -> bytes:
    row = rows.new_row(command) | _times(command, now)
    return b"".join(_field(encode, row[column]) for column, encode in _SHARED.items())


def _field(encode: _Encoder, value: Any) -> bytes:
    if value is None:
        return _NULL
    encoded = encode(value)
    return _size(len(encoded)) + encoded


def _times(command: NewCommand, now: datetime) -> rows.Row:
    """Return what `commands/enqueue` adds to the database's clock."""
    extras = command.extras
    ready_at = command.run_at or now + command.delay
    deadline_at = command.deadline_at or (ready_at + extras.deadline if extras.deadline is not None else None)
    start_by = None if extras.start_within is None or command.awaits else ready_at + extras.start_within
    bounds = [bound for bound in (deadline_at, start_by) if bound is not None]
    return {
        "ready_at": ready_at,
        "created_at": now,
        "deadline_at": deadline_at,
        "expires_at": min(bounds, default=None),
    }
