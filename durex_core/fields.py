"""What annotations say of a value, for pydantic to read when the first value is checked.

pydantic has all of it by these names, but to import them takes as long as all of durex's own modules, and most
processes never check more than a name.
"""

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@cache
def adapter(kind: Any) -> "TypeAdapter[Any]":
    """Return what checks, reads and writes values of a type, made when it is first asked for."""
    from pydantic import TypeAdapter  # noqa: PLC0415  it is slow to import

    return TypeAdapter(kind)


class Field:
    """`pydantic.Field`, made when it is first read; it takes the same arguments."""

    def __init__(self, **bounds: Any) -> None:
        """Take for example `ge` and `le` of a number, `pattern` and `max_length` of a text."""
        self._bounds = bounds

    def __get_pydantic_core_schema__(self, annotated: Any, schema_of: Any) -> Any:
        import pydantic.fields  # noqa: PLC0415  it is slow to import

        return schema_of(Annotated[annotated, pydantic.fields.Field(**self._bounds)])


class _Aware:
    def __get_pydantic_core_schema__(self, annotated: Any, schema_of: Any) -> Any:
        return schema_of(annotated) | {"tz_constraint": "aware"}


AwareDatetime = Annotated[datetime, _Aware()]
"""A moment that knows its time zone."""
