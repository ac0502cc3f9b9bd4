"""How often a client waits for Postgres, counted at the wire."""

import struct

from pooler import Change, Pooler

_WAITS = (b"Q", b"S")  # Query and Sync: after either a client has nothing to do but wait for the answer
_BEFORE_STARTUP = (80877103, 80877104)  # requests for encryption, which the startup packet follows


class RoundTrips(Pooler):
    """Stands before a server and counts the round trips to it. A context manager."""

    def __init__(self, url: str) -> None:
        """Count from zero."""
        super().__init__(url)
        self.count = 0

    def sent(self) -> Change:
        """Return what counts the messages of a new connection."""
        unread = b""
        has_started = False

        def read(data: bytes) -> bytes:
            nonlocal unread, has_started
            unread += data
            while len(unread) >= 8 if not has_started else len(unread) >= 5:
                kind = unread[:1] if has_started else b""
                (length,) = struct.unpack_from("!i", unread, len(kind))
                if len(unread) < len(kind) + length:
                    break
                if has_started:
                    self.count += kind in _WAITS
                else:
                    has_started = struct.unpack_from("!i", unread, 4)[0] not in _BEFORE_STARTUP
                unread = unread[len(kind) + length :]
            return data

        return read
