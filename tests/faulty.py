"""A Postgres whose connection fails as a test wants it: it falls silent, loses an answer, or breaks."""

import socket
import threading
from contextlib import suppress

from resuming import Resuming


class Faulty(Resuming):
    """Passes everything on until told otherwise; what it swallowed is gone."""

    def __init__(self, url: str) -> None:
        """Stand before a server that is awake."""
        super().__init__(url)
        self.awake.set()
        self.silent = threading.Event()
        self.loses_answer_to: bytes | None = None
        self.breaks_at: int | None = None
        self.is_heard = False
        self.heard = 0
        self._clients: set[int] = set()

    def break_at(self, number: int, *, is_heard: bool) -> None:
        """Break the connection at this message of a client, before or after the server heard it."""
        self.heard, self.breaks_at, self.is_heard = 0, number, is_heard

    def heal(self) -> None:
        """Work again, for new connections."""
        self.breaks_at = None
        self.silent.clear()
        self.loses_answer_to = None

    def _serve(self, client: socket.socket) -> None:
        self._clients.add(client.fileno())
        super()._serve(client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            is_client = source.fileno() in self._clients
            while data := source.recv(65536):
                if is_client and not self._hears(data, target):
                    source.shutdown(socket.SHUT_RDWR)
                if not is_client and not self.silent.is_set():
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def _hears(self, data: bytes, server: socket.socket) -> bool:
        """Pass a message of a client on, and say whether its connection holds."""
        if self.loses_answer_to is not None and self.loses_answer_to in data:
            self.silent.set()
        self.heard += 1
        is_broken = self.heard == self.breaks_at
        if not is_broken or self.is_heard:
            server.sendall(data)
        return not is_broken
