"""`POST /v1/commands/{id}/cancel`, `/retry` and `/replay`: what is done to a stored command."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse

from durex_core.api.answers import DATABASE, answer
from durex_core.api.documents import CancelDocument, CommandDocument
from durex_core.api.problems import Kind, responses
from durex_core.api.request_body import JSON
from durex_core.app import Durex
from durex_core.operations.describe import describe

PATH = "/v1/commands/<id>"

Id = Annotated[UUID, Path(description="The command's id.")]


def _done(description: str, *more: Kind) -> dict[int, OpenAPIResponse]:
    """Return what OpenAPI is told of the answers of a route."""
    done: dict[int, OpenAPIResponse] = {
        HTTPStatus.OK.value: {"description": description, "content": {JSON: {"model": CommandDocument}}}
    }
    problems = (Kind.MALFORMED_ID, Kind.COMMAND_NOT_FOUND, Kind.NOT_ALLOWED, *more, Kind.INTERNAL_ERROR, *DATABASE)
    return done | responses(*problems)


def actions_router(app: Durex) -> Router:
    """Return the routes that change an application's commands."""
    router = Router()  # type: ignore[no-untyped-call]

    @router.post(
        f"{PATH}/cancel",
        summary="Cancel a live command",
        operation_id="cancel_command",
        tags=["commands"],
        responses=_done(
            "The command as it ended. A running attempt changes nothing any more.",
            Kind.MALFORMED_REQUEST,
            Kind.TOO_LARGE,
            Kind.UNSUPPORTED_MEDIA_TYPE,
            Kind.INVALID_QUERY,
        ),
    )
    def cancel(id: Id, why: Annotated[CancelDocument | None, Body()] = None) -> Response[str]:  # noqa: A002  HTTP's name
        return answer(describe(app.cancel(id, why.reason if why else None)))

    @router.post(
        f"{PATH}/retry",
        summary="Let a command run now: one that did not complete, or one that waits for its time",
        operation_id="retry_command",
        tags=["commands"],
        responses=_done("The command, which is ready.", Kind.KEY_TAKEN),
    )
    def retry(id: Id) -> Response[str]:  # noqa: A002  HTTP's name
        return answer(describe(app.retry(id)))

    @router.post(
        f"{PATH}/replay",
        summary="Let a command out of the dead letter queue run again",
        operation_id="replay_command",
        tags=["commands"],
        responses=_done("The command, which is ready.", Kind.KEY_TAKEN),
    )
    def replay(id: Id) -> Response[str]:  # noqa: A002  HTTP's name
        return answer(describe(app.replay(id)))

    return router
