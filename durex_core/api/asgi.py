"""The API as an ASGI application, for uvicorn on this machine."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools.event_handler import HttpResolverLocal, Response

from durex_core.api.application import build_api, registered_routes
from durex_core.api.problems import Kind, Refused, answer
from durex_core.app import Durex

if TYPE_CHECKING:
    from uvicorn._types import (
        ASGI3Application,
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        HTTPScope,
        Scope,
    )

_WIDEST_ESCAPE = 3  # a character of two bytes in UTF-8 takes six as \uXXXX
_ROOM_FOR_OPTIONS_BYTES = 64 * 1024


def asgi(app: Durex) -> "ASGI3Application":
    """Return the API of an application for an ASGI server. It may be used from many requests at a time."""
    resolver = build_api(app, _LocalResolver(enable_validation=True))
    resolver.build_stacks()
    return _Gate(resolver, limit_bytes=_WIDEST_ESCAPE * app.registry.max_payload_bytes + _ROOM_FOR_OPTIONS_BYTES)


class _LocalResolver(HttpResolverLocal):
    """Answers each request in one thread, so that no request waits for the database of another.

    Powertools would run handlers on the event loop, and each middleware in a thread that waits for the next one's:
    a few requests at a time would take all threads and wait for ever.
    """

    def build_stacks(self) -> None:
        """Build the routes' middlewares, which Powertools would do in the first request, and twice in the first two."""
        for route in registered_routes(self):
            route._build_middleware_stack(self._router_middlewares, self)  # noqa: SLF001

    async def _resolve_async(self) -> dict[str, Any]:  # type: ignore[override]  # as HttpResolverLocal does
        return await asyncio.to_thread(self._answer)

    def _answer(self) -> dict[str, Any]:
        return self._resolve().build(self.current_event, self._cors)


class _Gate:
    """Turns away requests that are too large or are no text, before they are held in memory or parsed."""

    def __init__(self, resolver: _LocalResolver, *, limit_bytes: int) -> None:
        self._resolver = resolver
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        if scope["type"] != "http":
            await self._resolver(cast("dict[str, Any]", scope), receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except Refused as refused:
            await _send(send, answer(refused))
            return
        if body is not None:
            await self._resolver(cast("dict[str, Any]", scope), _Replay(body), send)

    async def _read(self, scope: "HTTPScope", receive: "ASGIReceiveCallable") -> bytes | None:
        """Return the body, or None if the caller has gone."""
        _check_text(scope["query_string"], *(value for _, value in scope["headers"]))
        self._check_size(_declared_bytes(scope))
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            self._check_size(len(body))
            if not message.get("more_body", False):
                _check_text(body)
                return bytes(body)

    def _check_size(self, size: int) -> None:
        if size > self._limit_bytes:
            raise Refused(Kind.TOO_LARGE, f"The body is longer than {self._limit_bytes:,} bytes.")


class _Replay:
    """Gives a body that was read to whoever reads it next."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self) -> "ASGIReceiveEvent":
        return {"type": "http.request", "body": self._body, "more_body": False}


def _declared_bytes(scope: "HTTPScope") -> int:
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def _check_text(*parts: bytes | bytearray) -> None:
    """Refuse what is not UTF-8; Powertools would fail on it."""
    try:
        for part in parts:
            part.decode()
    except UnicodeDecodeError as error:
        raise Refused(Kind.MALFORMED_REQUEST, f"The request is not UTF-8: {error}.") from None


async def _send(send: "ASGISendCallable", response: Response[str]) -> None:
    """Answer and hang up: the rest of the request is not wanted."""
    headers = [(name.lower().encode(), str(value).encode()) for name, value in response.headers.items()]
    headers.append((b"connection", b"close"))
    body = (response.body or "").encode()
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
