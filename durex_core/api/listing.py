"""`GET /v1/commands` and `GET /v1/stats`: what is stored."""

from datetime import timedelta
from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse

from durex_core.api.answers import DATABASE, answer
from durex_core.api.documents import PageDocument, StatsDocument
from durex_core.api.problems import Kind, responses
from durex_core.api.query_parameters import FindParameters, StatsParameters, read
from durex_core.api.request_body import JSON
from durex_core.app import Durex
from durex_core.operations.describe import describe_page, describe_stats

COMMANDS = "/v1/commands"
STATS = "/v1/stats"

_PAGE: dict[int, OpenAPIResponse] = {
    HTTPStatus.OK.value: {"description": "A page of commands.", "content": {JSON: {"model": PageDocument}}}
}
_STATS: dict[int, OpenAPIResponse] = {
    HTTPStatus.OK.value: {"description": "The numbers.", "content": {JSON: {"model": StatsDocument}}}
}
_PROBLEMS = responses(Kind.INVALID_QUERY, Kind.INTERNAL_ERROR, *DATABASE)


def listing_router(app: Durex) -> Router:
    """Return the routes that tell what an application has stored."""
    router = Router()  # type: ignore[no-untyped-call]

    @router.head(COMMANDS, include_in_schema=False)
    @router.get(
        COMMANDS,
        summary="List commands",
        operation_id="find_commands",
        tags=["commands"],
        responses=_PAGE | _PROBLEMS,
    )
    def find() -> Response[str]:
        parameters = read(router.current_event, FindParameters)
        return answer(describe_page(app.find(**parameters.options())))

    @router.head(STATS, include_in_schema=False)
    @router.get(
        STATS,
        summary="Count commands by queue and state",
        operation_id="get_stats",
        tags=["stats"],
        responses=_STATS | _PROBLEMS,
    )
    def stats() -> Response[str]:
        parameters = read(router.current_event, StatsParameters)
        within = timedelta(seconds=parameters.finished_within_seconds)
        return answer(describe_stats(app.stats(finished_within=within)))

    return router
