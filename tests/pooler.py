"""What stands between durex and Postgres as a pooler does: its connections have process ids that it made up."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict

_KEY = b"K\x00\x00\x00\x0c"  # BackendKeyData: a process id and a secret of four bytes each follow
_MADE_UP = (0x7FFF_FFFF).to_bytes(4, "big")


Change = Callable[[bytes], bytes]


class Pooler:
    """Passes everything on, byte by byte, but for the process ids. A context manager."""

    def __init__(self, url: str) -> None:
        """Stand before the server of a URL."""
        self._url = url
        self._sockets = [socket.create_server(("127.0.0.1", 0))]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            # It wakes whoever waits on it, which closing it does not.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @property
    def url(self) -> str:
        """The URL that leads to the same database by way of it."""
        parts = urlsplit(self._url)
        user = parts.netloc.rpartition("@")[0]
        host, port = self._sockets[0].getsockname()
        return urlunsplit(parts._replace(netloc=f"{user}@{host}:{port}", query="sslmode=disable"))

    def sent(self) -> Change:
        """Return what looks at the bytes that a new connection sends, and may change them."""
        return _as_it_is

    def received(self) -> Change:
        """Return the same for what it receives."""
        return _with_another_id

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._sockets[0].accept()
                server = self._connect()
                self._sockets += [client, server]
                for source, sink, change in ((client, server, self.sent()), (server, client, self.received())):
                    threading.Thread(target=_pass_on, args=(source, sink, change), daemon=True).start()

    def _connect(self) -> socket.socket:
        told = conninfo_to_dict(self._url)
        host, port = str(told.get("host") or "127.0.0.1"), int(told.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{host}/.s.PGSQL.{port}")
        return connection


def _pass_on(source: socket.socket, sink: socket.socket, change: Change) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(change(data))
        sink.shutdown(socket.SHUT_RDWR)


def _as_it_is(data: bytes) -> bytes:
    return data


def _with_another_id(data: bytes) -> bytes:
    before, key, after = data.partition(_KEY)
    return before + key + _MADE_UP + after[4:] if key else data
