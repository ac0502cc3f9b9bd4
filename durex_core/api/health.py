"""`/v1/health`: whether this process can do its work."""

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import TypeAdapter

from durex_core.api.problems import Kind, responses
from durex_core.api.request_body import JSON
from durex_core.app import Durex
from durex_core.operations.schema import Health

PATH = "/v1/health"

_HEALTH: TypeAdapter[Health] = TypeAdapter(Health)
_HEALTHY: dict[int, OpenAPIResponse] = {
    200: {"description": "The database answers.", "content": {JSON: {"model": Health}}}
}


def health_router(app: Durex) -> Router:
    """Return the route of an application's health."""
    router = Router()  # type: ignore[no-untyped-call]

    @router.head(PATH, include_in_schema=False)
    @router.get(
        PATH,
        summary="Ask whether the database answers",
        operation_id="get_health",
        tags=["health"],
        responses=_HEALTHY | responses(Kind.DATABASE_UNAVAILABLE, Kind.DATABASE_BUSY, Kind.SCHEMA_MISSING),
    )
    def get() -> Response[str]:
        return Response(200, JSON, _HEALTH.dump_json(app.health()).decode())

    return router
