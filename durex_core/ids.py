"""Ids of commands: UUID version 7 (RFC 9562 §5.7), made by the client and ordered by creation time.

The lowest bit tells those that were accepted while the database was away, and may not be stored yet, from all others.
"""

import secrets
import threading
from uuid import UUID

from durex_core.clock import utc_now

_RANDOM_BITS = 73
_STEP = (1 << 40) - 1
_VERSION = 7


def uuid7(unix_milliseconds: int, randomness: int) -> UUID:
    """Build a UUIDv7 from a Unix time in milliseconds and 74 random bits."""
    rand_a = (randomness >> 62) & 0xFFF
    rand_b = randomness & ((1 << 62) - 1)
    return UUID(int=(unix_milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)


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


def _after(last: tuple[int, int], unix_milliseconds: int, randomness: int) -> tuple[int, int]:
    """Return the time and randomness of an id that comes after the last: a random step further in its millisecond."""
    if unix_milliseconds > last[0]:
        return unix_milliseconds, randomness
    step = 1 + (randomness & _STEP)
    return divmod((last[0] << _RANDOM_BITS | last[1]) + step, 1 << _RANDOM_BITS)


_rising = _Rising()


def new_id() -> UUID:
    """Return a new id from this machine's clock and a secure source of randomness, after all that it made before."""
    return _new(is_ingested=False)


def new_ingested_id() -> UUID:
    """Return a new id, after all that were made before, for a command that is accepted before it can be stored."""
    return _new(is_ingested=True)


def is_ingested(command_id: UUID) -> bool:
    """Whether a command was accepted before it could be stored."""
    return command_id.version == _VERSION and bool(command_id.int & 1)


def made_at_milliseconds(command_id: UUID) -> int:
    """Return when an id was made, as a Unix time, by the clock of the machine that made it."""
    return command_id.int >> 80


def _new(*, is_ingested: bool) -> UUID:
    return _rising.next(int(utc_now().timestamp() * 1000), secrets.randbits(_RANDOM_BITS), is_ingested=is_ingested)
