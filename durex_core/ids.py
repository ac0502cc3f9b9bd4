"""Ids of commands: UUID version 7 (RFC 9562 §5.7), made by the client and ordered by creation time."""

import secrets
from uuid import UUID

from durex_core.clock import utc_now

_RANDOM_BITS = 74


def uuid7(unix_milliseconds: int, randomness: int) -> UUID:
    """Build a UUIDv7 from a Unix time in milliseconds and 74 random bits."""
    rand_a = (randomness >> 62) & 0xFFF
    rand_b = randomness & ((1 << 62) - 1)
    return UUID(int=(unix_milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)


def new_id() -> UUID:
    """Return a new id from this machine's clock and a secure source of randomness."""
    return uuid7(int(utc_now().timestamp() * 1000), secrets.randbits(_RANDOM_BITS))
