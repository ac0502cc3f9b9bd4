"""Answers what is not an enqueue: look-ups, health and the API's own documentation."""

import os
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities.typing import LambdaContext

from durex_core.api.application import build_api
from durex_core.discovery import load_app

_api = build_api(load_app(os.environ["DUREX_APP"]), APIGatewayHttpResolver(enable_validation=True))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer a request of API Gateway's."""
    return _api.resolve(event, context)
