"""`/v1/commands`: enqueue a command, and look one up."""

import re
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse

from durex_core.api.answers import DATABASE, answer
from durex_core.api.documents import AcceptedDocument, CommandDocument, SpecDocument
from durex_core.api.problems import Kind, responses
from durex_core.api.request_body import JSON
from durex_core.app import Durex
from durex_core.errors import InvalidSpec
from durex_core.model import Accepted, Enqueued
from durex_core.operations.describe import describe
from durex_core.spec import Key

PATH = "/v1/commands"

_EXAMPLE_ID = "019a2063-fc05-72e4-9bc1-56922de41a35"
_EXAMPLES = {
    "order": {
        "summary": "An order",
        "value": {
            "name": "process_order",
            "payload": {"id": "42", "amount": 999},
            "retries": 3,
            "backoff": {"kind": "exponential", "initial_delay": 1, "factor": 2, "max_delay": 300},
            "unique_key": "order:42",
        },
    },
    "later": {
        "summary": "In ten minutes",
        "value": {"name": "process_order", "payload": {"id": "42", "amount": 999}, "delay_seconds": 600},
    },
}


def _taken(description: str, model: Any, **example: Any) -> OpenAPIResponse:
    return {
        "description": description,
        "headers": {"Location": {"description": "Where the command is found.", "schema": {"type": "string"}}},
        "content": {JSON: {"model": model, "examples": {"order": {"value": {"id": _EXAMPLE_ID, **example}}}}},
    }


_ENQUEUED: dict[int, OpenAPIResponse] = {
    HTTPStatus.CREATED.value: _taken("The command was stored.", Enqueued, created=True),
    HTTPStatus.OK.value: _taken("A command with this key exists; nothing was stored.", Enqueued, created=False),
    HTTPStatus.ACCEPTED.value: _taken(
        "The database is away. The command is kept and will be stored under this id once the database is back; if a"
        " command with its key exists by then, it ends as cancelled and names that one.",
        AcceptedDocument,
        state="accepted",
    ),
}
_FOUND: dict[int, OpenAPIResponse] = {
    HTTPStatus.OK.value: {"description": "The command.", "content": {JSON: {"model": CommandDocument}}},
    HTTPStatus.ACCEPTED.value: {
        "description": "The command was accepted while the database was away, and is not stored yet.",
        "content": {JSON: {"model": AcceptedDocument}},
    },
}
# An id of zeros alone means none.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

IdempotencyKey = Annotated[
    Key | None,
    Header(
        alias="Idempotency-Key",
        description="For a command's name, enqueuing again with the same key returns the first command.",
    ),
]

TraceparentHeader = Annotated[
    str | None,
    Header(
        alias="traceparent",
        description="The W3C trace context that the command belongs to, where the body names none.",
    ),
]


def commands_router(app: Durex) -> Router:
    """Return the routes of an application's commands."""
    router = Router()  # type: ignore[no-untyped-call]

    @router.post(
        PATH,
        summary="Enqueue a command",
        operation_id="enqueue",
        tags=["commands"],
        responses=_ENQUEUED
        | responses(
            Kind.MALFORMED_REQUEST,
            Kind.TOO_LARGE,
            Kind.UNSUPPORTED_MEDIA_TYPE,
            Kind.INVALID_SPEC,
            Kind.UNKNOWN_COMMAND,
            Kind.INTERNAL_ERROR,
            *DATABASE,
        ),
    )
    def enqueue(
        spec: Annotated[SpecDocument, Body(openapi_examples=_EXAMPLES)],
        idempotency_key: IdempotencyKey = None,
        traceparent: TraceparentHeader = None,
    ) -> Response[str]:
        key = _one_key(spec.idempotency_key, idempotency_key)
        trace = spec.traceparent or _readable(traceparent)
        taken = app.enqueue_or_accept(spec.to_spec(idempotency_key=key, traceparent=trace))
        location = {"Location": f"{PATH}/{taken.id}"}
        if isinstance(taken, Accepted):
            return _accepted(taken, location)
        status = HTTPStatus.CREATED if taken.created else HTTPStatus.OK
        return answer({"id": str(taken.id), "created": taken.created}, status, location)

    @router.head(f"{PATH}/<id>", include_in_schema=False)
    @router.get(
        f"{PATH}/<id>",
        summary="Look up a command",
        operation_id="get_command",
        tags=["commands"],
        responses=_FOUND | responses(Kind.MALFORMED_ID, Kind.COMMAND_NOT_FOUND, Kind.INTERNAL_ERROR, *DATABASE),
    )
    def get(id: Annotated[UUID, Path(description="The command's id.")]) -> Response[str]:  # noqa: A002  HTTP's name
        found = app.look_up(id)
        return _accepted(found) if isinstance(found, Accepted) else answer(describe(found))

    return router


def _accepted(accepted: Accepted, headers: dict[str, str] | None = None) -> Response[str]:
    return answer({"id": str(accepted.id), "state": "accepted"}, HTTPStatus.ACCEPTED, headers)


def _one_key(in_body: str | None, in_header: str | None) -> str | None:
    """Return the key that was given in either place.

    Raises:
        InvalidSpec: both were, and they differ.
    """
    if in_body is not None and in_header is not None and in_body != in_header:
        raise InvalidSpec("idempotency_key", "differs from the header Idempotency-Key; send one of them")
    return in_header if in_body is None else in_body


def _readable(traceparent: str | None) -> str | None:
    """Return a header that can be read; W3C has it that others are passed over."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None
