"""Query parameters: read strictly, unknown ones refused, and described for OpenAPI.

Powertools' own reading takes a comma for a separator and passes over what a route does not declare: a filter with a
slip of the pen in its name would list everything.
"""

from typing import Annotated, Any, TypeVar, get_origin
from urllib.parse import parse_qs
from uuid import UUID

from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Json, ValidationError

from durex_core.api.problems import FieldError, Kind, Refused
from durex_core.model import State
from durex_core.queries import DAY, DEFAULT_LIMIT, MAX_LIMIT, Order
from durex_core.spec import MAX_DELAY, Key, Name, Tag

Parameters = TypeVar("Parameters", bound=BaseModel)

_MAX_LIST = 100


class FindParameters(BaseModel):
    """What narrows and orders a listing; see `durex_core.queries.Query`."""

    model_config = ConfigDict(extra="forbid")

    state: list[State] = Field(default=[], max_length=_MAX_LIST, description="In one of these states; may be repeated.")
    name: list[Name] = Field(default=[], max_length=_MAX_LIST, description="Of one of these names; may be repeated.")
    queue: list[Name] = Field(default=[], max_length=_MAX_LIST, description="In one of these queues; may be repeated.")
    tag: list[Tag] = Field(default=[], max_length=_MAX_LIST, description="With all of these tags; may be repeated.")
    parent_id: UUID | None = Field(default=None, description="Enqueued by this command.")
    correlation_id: Key | None = Field(default=None, description="Belonging to this piece of business.")
    unique_key: Key | None = Field(default=None, description="Enqueued with this unique key.")
    created_after: AwareDatetime | None = Field(default=None, description="Created at this moment or later.")
    created_before: AwareDatetime | None = Field(default=None, description="Created before this moment.")
    payload: Json[dict[str, Any]] | None = Field(
        default=None,
        description='Values inside the payload by their dotted paths, as a JSON object: `{"order.id": "42"}`.',
    )
    order_by: Order = Field(default=Order.CREATED_AT, description="What the listing is ordered by.")
    descending: bool = Field(default=True, description="The greatest first.")
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = Field(default=DEFAULT_LIMIT, description="The most commands.")
    cursor: str | None = Field(default=None, description="The `next_cursor` of the page before.")

    def options(self) -> dict[str, Any]:
        """Return what `Durex.find` takes."""
        return {name: value for name, value in self if value is not None and value != []}


class StatsParameters(BaseModel):
    """How far back to count."""

    model_config = ConfigDict(extra="forbid")

    finished_within_seconds: Annotated[float, Field(ge=0, le=MAX_DELAY.total_seconds(), allow_inf_nan=False)] = Field(
        default=DAY.total_seconds(), description="How far back finished commands are counted."
    )


def read(event: BaseProxyEvent, model: type[Parameters]) -> Parameters:
    """Return the query parameters of a request.

    Raises:
        Refused: one of them is unknown, is given twice or has no valid value.
    """
    given = _given(event)
    doubled = [name for name, values in given.items() if len(values) > 1 and not _is_list(model, name)]
    if doubled:
        raise _refused(FieldError(field=doubled[0], message="is given more than once"))
    try:
        return model.model_validate(
            {name: values if _is_list(model, name) else values[0] for name, values in given.items()}
        )
    except ValidationError as error:
        raise _refused(*(_fault(model, fault) for fault in error.errors(include_url=False))) from None


def described(model: type[BaseModel]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a model's parameters and the schemas they refer to, as OpenAPI has them."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": part.pop("description"),
            "schema": _without_null(part),
        }
        for name, part in schema["properties"].items()
    ]
    return parameters, schema.get("$defs", {})


def _given(event: BaseProxyEvent) -> dict[str, list[str]]:
    """Return the query as it was sent: API Gateway hands it over as text, the local server as lists."""
    raw = event.get("rawQueryString")
    if raw is not None:
        return parse_qs(raw, keep_blank_values=True)
    return dict(event.get("multiValueQueryStringParameters") or {})


def _is_list(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and get_origin(field.annotation) is list


def _fault(model: type[BaseModel], fault: Any) -> FieldError:
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return FieldError(field=name, message=f"is no parameter; there are {', '.join(model.model_fields)}")
    return FieldError(field=name, message=f"{fault['msg']}, not {fault['input']!r:.100}")


def _refused(*errors: FieldError) -> Refused:
    return Refused(Kind.INVALID_QUERY, "; ".join(f"{error.field}: {error.message}" for error in errors), *errors)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out that a value may be null, which no query can say."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "title", "default")}
    default = {} if schema.get("default") in (None, []) else {"default": schema["default"]}
    return (choices[0] if len(choices) == 1 else {}) | rest | default
