"""The API of an application, on any of Powertools' resolvers."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver, Route
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from durex_core.api import docs
from durex_core.api.actions import actions_router
from durex_core.api.commands import commands_router
from durex_core.api.health import health_router
from durex_core.api.listing import listing_router
from durex_core.api.problems import Kind, answer, problem
from durex_core.api.queues import queues_router
from durex_core.api.request_body import RequestValidation
from durex_core.app import Durex

Resolver = TypeVar("Resolver", bound=ApiGatewayResolver)


def build_api(app: Durex, resolver: Resolver) -> Resolver:
    """Register the API of an application on a resolver that was made with `enable_validation=True`; return it."""
    resolver._request_validation_middleware = RequestValidation()  # type: ignore[no-untyped-call]  # noqa: SLF001  it has no other door
    resolver.include_router(commands_router(app))
    resolver.include_router(listing_router(app))
    resolver.include_router(actions_router(app))
    resolver.include_router(queues_router(app))
    resolver.include_router(health_router(app))
    docs.add_docs(resolver)
    resolver.exception_handler(Exception)(answer)
    resolver.not_found(_without_route(resolver))
    return resolver


def registered_routes(resolver: ApiGatewayResolver) -> list[Route]:
    """Return the routes of a resolver; Powertools has no public name for them."""
    return resolver._static_routes + resolver._dynamic_routes  # noqa: SLF001


def _without_route(resolver: ApiGatewayResolver) -> Callable[[NotFoundError], Response[str]]:
    """Return what answers a request that no route takes."""

    def refuse(_: NotFoundError) -> Response[str]:
        method, path = resolver.current_event.http_method.upper(), resolver.context["_path"]
        methods = {route.method for route in registered_routes(resolver) if route.rule.match(path)}
        if not methods:
            return problem(Kind.NOT_FOUND, f"There is no {path} in this API; {docs.PATH} tells what there is.")
        allowed = {"Allow": ", ".join(sorted(methods | {"OPTIONS"}))}
        if method == "OPTIONS":
            return Response(HTTPStatus.NO_CONTENT.value, body="", headers=allowed)
        return problem(Kind.METHOD_NOT_ALLOWED, f"{path} takes {allowed['Allow']}, not {method}.", headers=allowed)

    return refuse
