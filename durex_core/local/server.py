"""The HTTP API on this machine: an ASGI application under uvicorn."""

import socket
from typing import TYPE_CHECKING

import uvicorn

from durex_core.errors import DurexError

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_BACKLOG = 2048
_LONGEST_GOODBYE_SECONDS = 5


class AddressRefused(DurexError):
    """The address cannot be listened on: another process has it, or it is none of this machine's."""


class Server:
    """Serves an ASGI application; its address is taken at once, so that its port is known before it runs."""

    def __init__(self, application: "ASGI3Application", *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take the address; port 0 means any that is free.

        Raises:
            AddressRefused: it cannot be had.
        """
        self._socket = _listen(host, port)
        self._host = host
        self.port = int(self._socket.getsockname()[1])
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                lifespan="off",
                log_config=None,
                timeout_graceful_shutdown=_LONGEST_GOODBYE_SECONDS,
            )
        )

    @property
    def url(self) -> str:
        """Where it is found."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def run(self) -> None:
        """Serve until stopped; requests that are under way are answered."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Ask it to stop."""
        self._server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        raise AddressRefused(f"cannot listen on {host}, port {port}: {why}; choose another") from error
    # Connections inherit it; without it the second answer on a connection waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
