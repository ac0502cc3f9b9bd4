from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from annotated_types import Ge, Gt, Le, Len, Lt, MultipleOf
from pydantic import BaseModel, Field, StringConstraints

from durex_core import Durex
from durex_core.cli.example import NoExample, example_payload


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    colour: Colour
    count: Annotated[int, Ge(3)]


class Order(BaseModel):
    id: Annotated[str, StringConstraints(min_length=9)]
    lines: list[Line]
    note: str | None
    gift: bool = False


class Tree(BaseModel):
    children: list["Tree"] = []
    name: str


def handler_of(payload_type):
    def handle(payload): ...

    handle.__annotations__["payload"] = payload_type
    return Durex().command("handle")(handle).handler


@pytest.mark.parametrize(
    "payload_type",
    [
        Order,
        Line,
        Tree,
        Any,
        str,
        int,
        float,
        bool,
        None,
        UUID,
        date,
        datetime,
        timedelta,
        Decimal,
        dict[str, int],
        list[Order],
        tuple[int, str],
        str | int,
        Literal["a", "b"],
        Annotated[int, Gt(41), MultipleOf(7)],
        Annotated[float, Lt(-1)],
        Annotated[int, Le(-5)],
        Annotated[list[int], Len(3)],
        Annotated[str, Len(0, 2)],
        Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["ABC"])],
    ],
)
def test_the_example_is_a_payload_that_the_handler_takes(payload_type):
    handler = handler_of(payload_type)
    handler.check(example_payload(handler))


def test_a_type_beyond_imagination_has_no_example():
    with pytest.raises(NoExample):
        example_payload(handler_of(Annotated[str, StringConstraints(pattern="^[A-Z]{3}-[0-9]$")]))


def test_a_handler_without_payload_has_none():
    def handle(): ...

    assert example_payload(Durex().command("handle")(handle).handler) is None
