"""Cursors: where a page of a listing ended, as text that fits into a URL.

A cursor holds what its listing was ordered by and the place of the last command. It is no secret, and is checked as any
other input.
"""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ValidationError

from durex_core.errors import InvalidQuery
from durex_core.fields import Field, adapter
from durex_core.model import Command
from durex_core.queries import Order, Query
from durex_core.records import record
from durex_core.store.rows import from_microseconds, to_microseconds

# The years 1 to 9999 in microseconds since 1970, which the priorities and the 32 bits of a run lie between.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
_MAX_RUN = 2**31 - 1


@record
class Place:
    """The place of a command in a listing; `value` is what it is ordered by, where that is not the id."""

    id: UUID
    run: int
    value: datetime | int | None = None


_Text = tuple[
    Order, bool, UUID, Annotated[int, Field(ge=1, le=_MAX_RUN)], Annotated[int, Field(ge=_FIRST, le=_LAST)] | None
]


def encode(query: Query, last: Command) -> str:
    """Return the cursor of a page that ends with this command."""
    parts = [query.order_by, query.descending, str(last.id), last.run, _number(query.order_by, last)]
    return urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(query: Query) -> Place | None:
    """Return the place at which a query begins, or None for the beginning.

    Raises:
        InvalidQuery: its cursor is none that was given out, or belongs to another listing.
    """
    if query.cursor is None:
        return None
    order_by, descending, command_id, run, number = _parsed(query.cursor)
    if (order_by, descending) != (query.order_by, query.descending):
        raise InvalidQuery(
            "cursor",
            f"belongs to a listing {_said(order_by, descending=descending)}, this one is"
            f" {_said(query.order_by, descending=query.descending)}; begin anew without a cursor",
        )
    is_moment = order_by in (Order.READY_AT, Order.FINISHED_AT)
    return Place(command_id, run, from_microseconds(number) if is_moment and number is not None else number)


def _number(order_by: Order, command: Command) -> int | None:
    """Return what a command is ordered by as a number, where that is not the id."""
    value = None if order_by is Order.CREATED_AT else getattr(command, order_by.value)
    return to_microseconds(value) if isinstance(value, datetime) else value


def _parsed(cursor: str) -> _Text:
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        parsed: _Text = adapter(_Text).validate_json(text)
    except (binascii.Error, ValueError, ValidationError):
        raise _malformed(cursor) from None
    if (parsed[-1] is None) != (parsed[0] is Order.CREATED_AT):
        raise _malformed(cursor)
    return parsed


def _malformed(cursor: str) -> InvalidQuery:
    return InvalidQuery("cursor", f"{cursor[:80]!r} is none that was given out; begin anew without a cursor")


def _said(order_by: Any, *, descending: bool) -> str:
    return f"ordered by {order_by} {'descending' if descending else 'ascending'}"
