"""Ids of commands: UUID version 7 (RFC 9562 §5.7), made by the client and ordered by creation time.

The lowest bit tells those that were accepted while the database was away, and may not be stored yet, from all others.
"""

import secrets
import struct
import threading
from collections.abc import Sequence
from itertools import accumulate
from uuid import UUID, SafeUUID

from durex_core.clock import unix_milliseconds

_RANDOM_BITS = 73
_STEP_BITS = 40
_STEP = (1 << _STEP_BITS) - 1
_VERSION = 7

# The constructor of a UUID, which reads five other forms as well, takes three times as long.
_set_number = UUID.__dict__["int"].__set__
_set_safety = UUID.__dict__["is_safe"].__set__
_UNKNOWN = SafeUUID.unknown


def uuid7(unix_milliseconds: int, randomness: int) -> UUID:
    """Build a UUIDv7 from a Unix time in milliseconds and 74 random bits."""
    return _uuid(_frame(unix_milliseconds) + _spread(randomness))


class _Rising:
    """Makes ids that rise within this process, in a single millisecond, too (RFC 9562 §6.2, method 2)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0, 0

    def next(self, unix_milliseconds: int, randomness: int, *, is_ingested: bool = False) -> UUID:
        with self._lock:
            self._last = _after(self._last, unix_milliseconds, randomness)
            moment, counter = self._last
            return uuid7(moment, counter << 1 | is_ingested)

    def several(self, unix_milliseconds: int, randomness: int, steps: Sequence[int]) -> list[UUID]:
        """Make an id for each of the random steps, all in one millisecond."""
        with self._lock:
            moment, counter = _after(self._last, unix_milliseconds, randomness)
            if counter + (len(steps) << _STEP_BITS) >> _RANDOM_BITS:  # no room left in this one
                moment, counter = moment + 1, randomness >> 1
            places = list(accumulate(steps, lambda place, step: place + 1 + (step & _STEP), initial=counter))[1:]
            self._last = moment, places[-1]
        frame = _frame(moment)
        return [_uuid(frame + _spread(place << 1)) for place in places]


def _after(last: tuple[int, int], unix_milliseconds: int, randomness: int) -> tuple[int, int]:
    """Return the time and randomness of an id that comes after the last: a random step further in its millisecond."""
    if unix_milliseconds > last[0]:
        return unix_milliseconds, randomness
    step = 1 + (randomness & _STEP)
    return divmod((last[0] << _RANDOM_BITS | last[1]) + step, 1 << _RANDOM_BITS)


def _frame(unix_milliseconds: int) -> int:
    """Return an id without its randomness."""
    return (unix_milliseconds & ((1 << 48) - 1)) << 80 | _VERSION << 76 | 0b10 << 62


def _spread(randomness: int) -> int:
    """Return 74 random bits as they stand in an id: the upper 12, the two of the variant, the lower 62."""
    return randomness + (randomness >> 62) * (0b11 << 62)


def _uuid(number: int) -> UUID:
    made = object.__new__(UUID)
    _set_number(made, number)
    _set_safety(made, _UNKNOWN)
    return made


_rising = _Rising()


def new_id() -> UUID:
    """Return a new id from this machine's clock and a secure source of randomness, after all that it made before."""
    return _new(is_ingested=False)


def new_ids(count: int) -> list[UUID]:
    """Return so many new ids in their order, after all that were made before."""
    if count <= 1:
        return [new_id() for _ in range(count)]
    steps = struct.unpack(f"{count}Q", secrets.token_bytes(8 * count))
    return _rising.several(unix_milliseconds(), secrets.randbits(_RANDOM_BITS), steps)


def new_ingested_id() -> UUID:
    """Return a new id, after all that were made before, for a command that is accepted before it can be stored."""
    return _new(is_ingested=True)


def is_ingested(command_id: UUID) -> bool:
    """Whether a command was accepted before it could be stored."""
    return command_id.version == _VERSION and bool(command_id.int & 1)


def made_at_milliseconds(command_id: UUID) -> int:
    """Return when an id was made, as a Unix time, by the clock of the machine that made it."""
    return command_id.int >> 80


def read(data: bytes) -> UUID:
    """Return the id that stands in 16 bytes."""
    made = object.__new__(UUID)
    _set_number(made, int.from_bytes(data))
    _set_safety(made, _UNKNOWN)
    return made


def _new(*, is_ingested: bool) -> UUID:
    return _rising.next(unix_milliseconds(), secrets.randbits(_RANDOM_BITS), is_ingested=is_ingested)
