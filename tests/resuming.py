"""A Postgres that resumes from its pause: it takes connections at once and says nothing until it is awake."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict


class Resuming:
    """Stands before a server, on a port of its own; a context manager."""

    def __init__(self, url: str) -> None:
        """Name the server."""
        self.awake = threading.Event()
        self._is_over = False
        self._server = conninfo_to_dict(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        login = f"{self._server['user']}:{urlsplit(url).password or ''}"
        self.url = f"postgresql://{login}@{address}/{self._server['dbname']}"

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over = True
        self.awake.set()
        for connection in (self._listener, *self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                self._run(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        self.awake.wait()
        if self._is_over:
            return
        server = self._connect()
        self._open.append(server)
        self._run(self._pass_on, server, client)
        self._pass_on(client, server)

    def _connect(self) -> socket.socket:
        host, port = str(self._server["host"]), self._server.get("port", "5432")
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{host}/.s.PGSQL.{port}")
        return connection

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def _run(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
