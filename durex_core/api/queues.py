"""`POST /v1/queues/{queue}/wake`: tell workers of commands that were stored without this API, such as in SQL."""

from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse

from durex_core.api.answers import answer
from durex_core.api.documents import WokenDocument
from durex_core.api.problems import Kind, responses
from durex_core.api.request_body import JSON
from durex_core.app import Durex

PATH = "/v1/queues/<queue>"

_WOKEN: dict[int, OpenAPIResponse] = {
    HTTPStatus.ACCEPTED.value: {"description": "Its workers were told.", "content": {JSON: {"model": WokenDocument}}}
}


def queues_router(app: Durex) -> Router:
    """Return the routes of an application's queues."""
    router = Router()  # type: ignore[no-untyped-call]

    @router.post(
        f"{PATH}/wake",
        summary="Tell the workers of a queue that it has work",
        description="For whoever enqueues in SQL. Left out, it costs time and no command; sent twice, nothing.",
        operation_id="wake_queue",
        tags=["queues"],
        responses=_WOKEN | responses(Kind.QUEUE_NOT_FOUND, Kind.INTERNAL_ERROR, Kind.WAKE_NOT_SENT),
    )
    def wake(queue: Annotated[str, Path(description="The queue; by default a command's name.")]) -> Response[str]:
        app.wake_queue(queue)
        return answer({"queue": queue}, HTTPStatus.ACCEPTED)

    return router
