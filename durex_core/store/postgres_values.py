"""Values as they travel to Postgres and back, in its binary forms.

Many rows go there as an array for each of their columns, which takes the server a third of the time of a document with
the same rows in it, and this process a tenth. What comes back is read a column at a time.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

from durex_core import ids, strict_json
from durex_core.store.answers import read_document
from durex_core.store.database import Answer

_UUID, _TIMESTAMPTZ, _JSON, _JSONB = 2950, 1184, 114, 3802
_TEXT, _BIGINT = 25, 20

_head = struct.Struct("!iiIii").pack  # dimensions, whether there are NULLs, the type of the elements, how many, from 1
_size = struct.Struct("!i").pack
_bigint = struct.Struct("!q").unpack
_NULL = b"\xff\xff\xff\xff"
_EMPTY = b"\x01[]"  # after the version of its form
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Array(bytes):
    """An array in binary, whose type the statement tells."""

    __slots__ = ()


class ArrayDumper(Dumper):
    """Hands an array over as it is."""

    format = Format.BINARY

    def dump(self, obj: Array) -> Array:
        """Return the array."""
        return obj


def array(column: str, values: Sequence[Any]) -> Array:
    """Return the values of a column, whose name tells its type; none, which means the same, where all are NULL."""
    kind, size, encode = _TYPES[column]
    head = _head(1, 1, kind, len(values), 1)
    if size:
        return Array(_size(size).join((head, *map(encode, values))))
    if values.count(None) == len(values):
        return Array(_head(0, 0, kind, 0, 0)[:12])
    return Array(b"".join((head, *(_NULL if value is None else _sized(encode(value)) for value in values))))


def _sized(value: bytes) -> bytes:
    return _size(len(value)) + value


def _document(value: Any) -> bytes:
    return strict_json.encode(value).encode()


# The number that Postgres gave the type, the length of each value if all are as long, and how one is written.
_TYPES: dict[str, tuple[int, int, Callable[[Any], bytes]]] = {
    "id": (_UUID, 16, attrgetter("bytes")),
    "lease_number": (_BIGINT, 8, struct.Struct("!q").pack),
    "state": (_TEXT, 0, str.encode),
    "result": (_JSON, 0, _document),
    "error": (_JSON, 0, _document),
    "recovery": (_JSON, 0, _document),
}


def read_columns(types: Sequence[int], columns: Answer) -> list[Sequence[Any]]:
    """Read the columns of an answer that are of a type which the driver would read slowly, or not as the store does."""
    return [
        values if (read := READERS.get(kind)) is None or not any(values) else _read(read, values)
        for kind, values in zip(types, columns, strict=True)
    ]


def _read(read: Callable[[Any], Any], values: Sequence[bytes | None]) -> list[Any]:
    if all(values):  # no value is empty
        return list(map(read, values))
    return [None if value is None else read(value) for value in values]


@cache
def loader(kind: int) -> type[Loader]:
    """Return what reads one value of such a type for the driver."""
    read = READERS[kind]

    class ValueLoader(Loader):
        format = Format.BINARY

        def load(self, data: Buffer) -> Any:
            return read(bytes(data))

    return ValueLoader


@lru_cache(maxsize=4096)
def _moment(data: bytes) -> datetime:
    """Read microseconds since 2000. Those of many rows are often the same, or those of two of their columns."""
    return _EPOCH + timedelta(0, 0, *_bigint(data))


def _binary_document(data: bytes) -> Any:
    """Read a document after the version of its form; most are empty lists."""
    return [] if data == _EMPTY else read_document(data[1:])


READERS: dict[int, Callable[[bytes], Any]] = {
    _UUID: ids.read,
    _TIMESTAMPTZ: _moment,
    _JSON: read_document,
    _JSONB: _binary_document,
}
"""What reads the values of a type, as bytes, by the number that Postgres gave it."""
