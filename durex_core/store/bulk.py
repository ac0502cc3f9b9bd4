"""Bulk: many new commands into Postgres by COPY.

A row of a COPY in its binary form takes the server a third of the time of one that `commands/enqueue` reads out of a
document, and this process a tenth. It has no answer and no ON CONFLICT: what holds a unique key cannot come this way.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import chain, compress, groupby, islice, repeat
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
    left = _rows(free, _present(connection, now))
    some = iter(lambda: tuple(islice(left, _AT_ONCE)), ())
    _copy(connection, list(_SHARED), (zip(*each, strict=True) for each in some))
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
    fields = {name: _fields(template, present) for name, template in templates.items()}
    # What is null in all of them need be neither sent nor read.
    is_used = [any(field != _NULL for field in column) for column in zip(*fields.values(), strict=True)]
    shared = {name: b"".join(compress(some, is_used)) for name, some in fields.items()}.__getitem__
    _copy(connection, list(compress(_SHARED, is_used)), ((map(shared, names), *rest) for names, *rest in blocks))


def _present(connection: Connection, now: datetime | None) -> datetime:
    (clock,) = connection.run("clock/read", now=now)
    present: datetime = clock["present_at"]
    return present


def _rows(new: Iterable[NewCommand], now: datetime) -> Iterator[Row]:
    for _, alike in groupby(new, key=_likeness):
        shared = b""
        for command in alike:
            shared = shared or b"".join(_fields(command, now))
            yield shared, command.id, _json(command.payload)


def _copy(connection: Copying, columns: Sequence[str], blocks: Iterable[Iterable[Iterable[Any]]]) -> None:
    """Copy blocks of what rows have in these columns, their ids, and their payloads as JSON."""
    before_id = struct.pack("!hi", len(columns) + 2, 16)
    rows = (_block(before_id, *block) for block in blocks)
    statement = f"COPY durex.commands (id, {', '.join(columns)}, payload) FROM STDIN (FORMAT binary)"
    connection.copy(statement, chain([_HEADER], rows, [_TRAILER]))


def _block(before_id: bytes, shared: Iterable[bytes], ids: Iterable[UUID], payloads: Iterable[bytes]) -> bytes:
    """Return rows as COPY takes them; they are put together in C."""
    fields = [_NULL if payload == _NOTHING else _size(len(payload)) + payload for payload in payloads]
    return b"".join(chain.from_iterable(zip(repeat(before_id), map(_uuid, ids), shared, fields, strict=False)))


def _likeness(command: NewCommand) -> tuple[Any, ...]:
    return *_equal(command), *map(id, _same(command))


def _fields(command: NewCommand, now: datetime) -> list[bytes]:
    """Return what a command has in each of the shared columns."""
    row = rows.new_row(command) | _times(command, now)
    return [_field(encode, row[column]) for column, encode in _SHARED.items()]


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
