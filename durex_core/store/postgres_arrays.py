"""Many rows for Postgres: an array for each of their columns, in its binary form.

It takes the server a third of the time of a document with the same rows in it, and this process a tenth.
"""

import struct
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from psycopg.adapt import Dumper
from psycopg.pq import Format

from durex_core import strict_json

_head = struct.Struct("!iiIii").pack  # dimensions, whether there are NULLs, the type of the elements, how many, from 1
_size = struct.Struct("!i").pack
_NULL = b"\xff\xff\xff\xff"

_Encoder = Callable[[Any], bytes]


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
_TYPES: dict[str, tuple[int, int, _Encoder]] = {
    "id": (2950, 16, attrgetter("bytes")),
    "lease_number": (20, 8, struct.Struct("!q").pack),
    "state": (25, 0, str.encode),
    "result": (114, 0, _document),
    "error": (114, 0, _document),
    "recovery": (114, 0, _document),
}
