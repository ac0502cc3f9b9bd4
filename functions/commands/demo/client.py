"""The HTTP API as a program sees it, with the standard library alone."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from durex_core.clock import monotonic_seconds

_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered, and how long that took."""

    status: int
    body: dict[str, Any]
    seconds: float


class Client:
    """Speaks to the API over HTTP."""

    def __init__(self, url: str) -> None:
        """Address the API on this machine, past any proxy."""
        self._commands = f"{url}/v1/commands"
        self._opener = build_opener(ProxyHandler({}))

    def post(self, name: str, payload: Any = None, *, key: str | None = None) -> Answer:
        """Enqueue a command."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        body = json.dumps({"name": name, "payload": payload}).encode()
        return self._send(Request(self._commands, body, headers))  # noqa: S310  the URL is ours

    def get(self, command_id: str) -> Answer:
        """Look a command up."""
        return self._send(Request(f"{self._commands}/{command_id}"))  # noqa: S310  the URL is ours

    def children(self, command_id: str) -> Answer:
        """List the commands that came out of one, the newest first."""
        return self._send(Request(f"{self._commands}?parent_id={command_id}"))  # noqa: S310  the URL is ours

    def _send(self, request: Request) -> Answer:
        start = monotonic_seconds()
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                status, text = response.status, response.read()
        except HTTPError as error:
            with error:
                status, text = error.code, error.read()
        return Answer(status, json.loads(text), monotonic_seconds() - start)
