"""Request bodies: from the bytes of a request to a JSON object, or to a refusal that says why not."""

import binascii
import json
import sys
from typing import Any

from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver
from aws_lambda_powertools.event_handler.middlewares.openapi_validation import OpenAPIRequestValidationMiddleware
from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent

from durex_core.api.problems import FieldError, Kind, Refused

JSON = "application/json"


class RequestValidation(OpenAPIRequestValidationMiddleware):
    """Powertools' validation of requests with a stricter way to read bodies.

    Powertools' own takes forms for JSON, the only element of a list for the list, and fails on what is no UTF-8.
    """

    def _get_body(self, app: ApiGatewayResolver) -> dict[str, Any]:
        fields = app.context["_route"].dependant.body_params
        if not any(field.required for field in fields) and not app.current_event.body:
            return {}
        return read_object(app.current_event)


def read_object(event: BaseProxyEvent) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    Raises:
        Refused: there is none.
    """
    _check_content_type(event.headers.get("content-type", ""))
    value = _parse(_text(event))
    if not isinstance(value, dict):
        raise _invalid(f"must be a JSON object, not {_NAMES[type(value)]}")
    return value


_NAMES = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a boolean", type(None): "null"}


def _check_content_type(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in {"", JSON}:
        raise Refused(Kind.UNSUPPORTED_MEDIA_TYPE, f"Send the body as {JSON}, not as {media_type}.")


def _text(event: BaseProxyEvent) -> str:
    try:
        text = event.decoded_body
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refused(Kind.MALFORMED_REQUEST, f"The body is not UTF-8: {error}.") from None
    if not text or text.isspace():
        raise Refused(Kind.MALFORMED_REQUEST, "The body is missing; send a JSON object.")
    return text


def _parse(text: str) -> Any:
    """Parse JSON. NaN and infinities pass: whoever takes the value refuses them by the name of their field."""
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        raise Refused(Kind.MALFORMED_REQUEST, f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise _invalid("is nested too deeply") from None
    except ValueError:
        raise _invalid(f"holds an integer of more than {sys.get_int_max_str_digits():,} digits") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise Refused(Kind.MALFORMED_REQUEST, f"The body says {doubled!r} twice in one object.")
    return found


def _invalid(message: str) -> Refused:
    return Refused(Kind.INVALID_SPEC, f"body: {message}", FieldError(field="body", message=message))
