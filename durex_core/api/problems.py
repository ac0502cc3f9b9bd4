"""Problems: every error of the API as problem details (RFC 9457), and which error makes which."""

import logging
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import singledispatch
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel, ConfigDict, Field

from durex_core.errors import (
    CommandNotFound,
    DatabaseBusy,
    DatabaseUnavailable,
    InvalidQuery,
    InvalidSpec,
    KeyTaken,
    NotAllowed,
    PayloadTooLarge,
    SchemaMissing,
    TooLargeToKeep,
    UnknownCommand,
    UnknownQueue,
    WakeNotSent,
)
from durex_core.strict_json import clean_text

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 5

_RETRY_LATER = {"Retry-After": str(RETRY_AFTER_SECONDS)}
_TRY_AGAIN = "Try again later. To repeat a POST without storing a command twice, send it with an Idempotency-Key."
_HTTP_NAMES = {
    "deadline": "deadline_seconds",
    "delay": "delay_seconds",
    "finished_within": "finished_within_seconds",
    "period": "period_seconds",
    "start_within": "start_within_seconds",
    "timeout": "timeout_seconds",
}

_log = logging.getLogger(__name__)


class Kind(Enum):
    """The kinds of problems: the end of the URN, the status and the title."""

    MALFORMED_REQUEST = ("malformed-request", 400, "The request cannot be read")
    MALFORMED_ID = ("malformed-id", 400, "This is no command id")
    NOT_FOUND = ("not-found", 404, "There is nothing at this path")
    QUEUE_NOT_FOUND = ("queue-not-found", 404, "No command uses this queue")
    COMMAND_NOT_FOUND = ("command-not-found", 404, "There is no such command")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The path does not take this method")
    NOT_ALLOWED = ("not-allowed", 409, "The command's state does not allow it")
    KEY_TAKEN = ("key-taken", 409, "A live command holds the unique key")
    TOO_LARGE = ("too-large", 413, "The request is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The body is not said to be JSON")
    INVALID_SPEC = ("invalid-spec", 422, "A value was refused")
    INVALID_QUERY = ("invalid-query", 422, "A filter or an argument was refused")
    UNKNOWN_COMMAND = ("unknown-command", 422, "No handler has this name")
    INTERNAL_ERROR = ("internal-error", 500, "Something went wrong inside")
    DATABASE_UNAVAILABLE = ("database-unavailable", 503, "The database cannot be reached")
    DATABASE_BUSY = ("database-busy", 503, "The database is busy")
    SCHEMA_MISSING = ("schema-missing", 503, "The database is not migrated")
    WAKE_NOT_SENT = ("wake-not-sent", 503, "The workers could not be told")

    def __init__(self, slug: str, status: int, title: str) -> None:
        """Take the parts by name."""
        self.urn = f"urn:durex:problem:{slug}"
        self.status = status
        self.title = title


class FieldError(BaseModel):
    """A part of the request that was refused."""

    field: str = Field(description="The part as the caller wrote it, such as `payload.items[2].amount`.")
    message: str


class Problem(BaseModel):
    """Why a request was refused or failed: problem details (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": Kind.INVALID_SPEC.urn,
                    "title": Kind.INVALID_SPEC.title,
                    "status": Kind.INVALID_SPEC.status,
                    "detail": "payload.amount: Field required",
                    "errors": [{"field": "payload.amount", "message": "Field required"}],
                }
            ]
        }
    )

    type: str = Field(description="`urn:durex:problem:` and what went wrong.")
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(description="The refused parts of the request, if parts of it were.")


class Refused(Exception):
    """A request that is turned away before it reaches the application."""

    def __init__(self, kind: Kind, detail: str, *errors: FieldError) -> None:
        """Keep what the answer will say."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors


def problem(
    kind: Kind, detail: str, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> Response[str]:
    """Return the answer that tells of a problem."""
    clean = [FieldError(field=clean_text(error.field), message=clean_text(error.message)) for error in errors]
    document = Problem(
        type=kind.urn, title=kind.title, status=kind.status, detail=clean_text(detail), errors=clean
    ).model_dump_json()
    return Response(kind.status, PROBLEM_JSON, document, headers)


@singledispatch
def answer(error: Exception) -> Response[str]:
    """Return the answer for an error. One that nobody foresaw is logged, and its text stays inside."""
    _log.error("a request failed", exc_info=error)
    return problem(Kind.INTERNAL_ERROR, "The request failed for a reason that is not yours; the log tells which.")


@answer.register
def _(error: Refused) -> Response[str]:
    return problem(error.kind, error.detail, error.errors)


@answer.register
def _(error: RequestValidationError) -> Response[str]:
    faults = error.errors()
    errors = [FieldError(field=_field(fault["loc"]), message=fault["msg"]) for fault in faults]
    in_path = any(fault["loc"][0] == "path" for fault in faults)
    return problem(Kind.MALFORMED_ID if in_path else Kind.INVALID_SPEC, _summary(errors), errors)


@answer.register
def _(error: InvalidSpec) -> Response[str]:
    return _refused_field(Kind.INVALID_SPEC, error)


@answer.register
def _(error: InvalidQuery) -> Response[str]:
    return _refused_field(Kind.INVALID_QUERY, error)


@answer.register
def _(error: UnknownQueue) -> Response[str]:
    return problem(Kind.QUEUE_NOT_FOUND, error.reason)


@answer.register
def _(error: WakeNotSent) -> Response[str]:
    _log.error("%s", error)
    return problem(Kind.WAKE_NOT_SENT, "Try again later; to wake workers twice does no harm.", headers=_RETRY_LATER)


@answer.register
def _(error: UnknownCommand) -> Response[str]:
    return _refused_field(Kind.UNKNOWN_COMMAND, error)


@answer.register
def _(error: PayloadTooLarge) -> Response[str]:
    return _refused_field(Kind.TOO_LARGE, error)


@answer.register
def _(error: CommandNotFound) -> Response[str]:
    return problem(Kind.COMMAND_NOT_FOUND, str(error))


@answer.register
def _(error: NotAllowed) -> Response[str]:
    return problem(Kind.NOT_ALLOWED, str(error))


@answer.register
def _(error: KeyTaken) -> Response[str]:
    return problem(Kind.KEY_TAKEN, str(error))


@answer.register
def _(error: DatabaseUnavailable) -> Response[str]:
    _log.warning("the database cannot be reached: %s", error)
    return problem(Kind.DATABASE_UNAVAILABLE, _TRY_AGAIN, headers=_RETRY_LATER)


@answer.register
def _(error: TooLargeToKeep) -> Response[str]:
    _log.warning("the database cannot be reached: %s", error)
    detail = (
        f"The command takes {error.size:,} bytes; until the database is back at most {error.limit:,} can be kept."
        f" {_TRY_AGAIN}"
    )
    return problem(Kind.DATABASE_UNAVAILABLE, detail, headers=_RETRY_LATER)


@answer.register
def _(error: DatabaseBusy) -> Response[str]:
    _log.warning("the database is busy: %s", error)
    return problem(Kind.DATABASE_BUSY, _TRY_AGAIN, headers=_RETRY_LATER)


@answer.register
def _(error: SchemaMissing) -> Response[str]:
    _log.error("the database is not migrated: %s", error)
    return problem(Kind.SCHEMA_MISSING, "Whoever runs this API must run `durex migrate`.", headers=_RETRY_LATER)


def responses(*kinds: Kind) -> dict[int, OpenAPIResponse]:
    """Return what OpenAPI is told of the problems of a route."""
    return {status: _response([kind for kind in kinds if kind.status == status]) for status in _statuses(kinds)}


def _statuses(kinds: Sequence[Kind]) -> list[int]:
    return list(dict.fromkeys(kind.status for kind in kinds))


def _response(kinds: Sequence[Kind]) -> OpenAPIResponse:
    return {
        "description": "; ".join(f"{kind.title} (`{kind.urn}`)" for kind in kinds),
        "content": {PROBLEM_JSON: {"model": Problem}},
    }


def _refused_field(kind: Kind, error: InvalidSpec | InvalidQuery) -> Response[str]:
    errors = [FieldError(field=_HTTP_NAMES.get(error.field, error.field), message=error.reason)]
    return problem(kind, _summary(errors), errors)


def _summary(errors: Sequence[FieldError]) -> str:
    return "; ".join(f"{error.field}: {error.message}" for error in errors)


def _field(location: Sequence[Any]) -> str:
    """Name a part of the request: `("body", "backoff", "constant", "delay")` is the caller's `backoff.delay`."""
    if location[0] == "header":
        return str(location[1]).title()
    path = ""
    previous: Any = None
    for part in location[1:]:
        if previous != "backoff":  # what follows it is pydantic's word for the kind of backoff
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
        previous = part
    return path or str(location[0])
