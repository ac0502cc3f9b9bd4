"""Answers that say what was asked for."""

import json
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response

from durex_core.api.problems import Kind
from durex_core.api.request_body import JSON

DATABASE = (Kind.DATABASE_UNAVAILABLE, Kind.DATABASE_BUSY, Kind.SCHEMA_MISSING)
"""What can be wrong with any route that asks the database."""


def answer(
    document: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response[str]:
    """Return an answer whose body is a JSON document."""
    return Response(status.value, JSON, json.dumps(document, ensure_ascii=False, separators=(",", ":")), headers)
