"""JSON that both databases can hold: what they could not is refused, by its path."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_serializer
from strategies import json_values

from durex_core import strict_json
from durex_core.strict_json import NotPlainJson

NUL = "holds the NUL character, which Postgres cannot store; remove it"
SURROGATE = "holds a lone surrogate, which is not valid Unicode; decode the text properly"


class Colour(Enum):
    RED = "red"


class Parcel(BaseModel):
    id: int
    weight: float = 1.5
    sent_at: datetime | None = Field(default=None, alias="sentAt")


class Broken(BaseModel):
    id: int

    @field_serializer("id")
    def refuse(self, value: int) -> int:
        raise RuntimeError(f"cannot write {value}")


@dataclass
class Crate:
    parcels: list[Any]


def itself() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@given(value=json_values())
def test_plain_json_is_written_and_read_back_equal(value: Any):
    assert json.loads(strict_json.encode(value)) == value


@given(value=json_values())
def test_plain_json_stays_as_it_is(value: Any):
    assert strict_json.plain(value) == value


@given(value=json_values())
def test_the_text_is_as_short_as_json_can_be(value: Any):
    text = strict_json.encode(value)

    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert text.encode().decode() == text


@given(values=st.lists(json_values()))
def test_many_are_written_as_each_alone(values: list[Any]):
    texts = strict_json.encode_all(values)

    assert [repr(json.loads(text)) for text in texts] == [repr(json.loads(strict_json.encode(each))) for each in values]


REFUSED: dict[str, tuple[Any, str, str]] = {
    "NaN": (math.nan, "", "is nan, which JSON cannot hold; use null or text"),
    "NaN inside": ({"a": [0, {"b": math.nan}]}, "a[1].b", "is nan, which JSON cannot hold; use null or text"),
    "infinity": ([math.inf], "[0]", "is inf, which JSON cannot hold; use null or text"),
    "minus infinity": ({"a": -math.inf}, "a", "is -inf, which JSON cannot hold; use null or text"),
    "NUL": ("a\0b", "", NUL),
    "NUL inside": ({"items": [{}, {}, {"note": "\0"}]}, "items[2].note", NUL),
    "NUL in a key": ({"a": {"k\0": 1}}, "a.k\\0", NUL),
    "lone surrogate": ("\ud800", "", SURROGATE),
    "lone surrogate inside": ([["ok", "\udfff"]], "[0][1]", SURROGATE),
    "lone surrogate in a key": ({"a": {"\ud800": 1}}, "a.?", SURROGATE),
    "halves of a pair": ("\ud83d\ude00", "", SURROGATE),
    "itself": (itself(), "", "is nested too deeply or refers to itself"),
    "a hundred thousand levels": (nested(100_000), "", "is nested too deeply or refers to itself"),
}


@pytest.mark.parametrize(("value", "path", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_a_database_could_not_hold_is_refused_by_its_path(value: Any, path: str, reason: str):
    with pytest.raises(NotPlainJson) as caught:
        strict_json.encode(value)

    assert (caught.value.path, caught.value.reason) == (path, reason)
    assert str(caught.value) == (f"{path}: {reason}" if path else reason)


@pytest.mark.parametrize(("value", "path", "reason"), REFUSED.values(), ids=REFUSED)
def test_turning_it_into_plain_json_first_does_not_hide_it(value: Any, path: str, reason: str):
    with pytest.raises(NotPlainJson) as caught:
        strict_json.encode(strict_json.plain(value))

    assert (caught.value.path, caught.value.reason) == (path, reason)


@pytest.mark.parametrize("value", [*(value for value, _, _ in REFUSED.values()), 10**4300], ids=[*REFUSED, "digits"])
def test_it_is_refused_among_many(value: Any):
    with pytest.raises(NotPlainJson):
        strict_json.encode_all([0, value, {}])


@pytest.mark.parametrize(
    ("value", "path", "kind"),
    [
        (object(), "", "object"),
        ({"a": [1, {2}]}, "a[1]", "set"),
        ({"a": {"b": b"x"}}, "a.b", "bytes"),
        ([Decimal(1)], "[0]", "Decimal"),
        ({(1, 2): 3}, "(1, 2)", "tuple"),
    ],
)
def test_what_is_no_plain_json_is_named_with_its_type(value: Any, path: str, kind: str):
    with pytest.raises(NotPlainJson, match=f"is a {kind}, which has no JSON form") as caught:
        strict_json.encode(value)

    assert caught.value.path == path


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", '"\\u0000"', "u0000", "%00", "\u2400", "\x01\x1f\x7f"])
def test_what_only_looks_like_a_nul_is_taken(text: str):
    assert json.loads(strict_json.encode({text: text})) == {text: text}
    assert [json.loads(each) for each in strict_json.encode_all([{text: text}, {}])] == [{text: text}, {}]


def test_a_number_of_too_many_digits_is_refused():
    with pytest.raises(NotPlainJson, match="4300 digits"):
        strict_json.encode({"a": 10**5000})


def test_levels_that_are_many_but_not_too_many_are_taken():
    assert json.loads(strict_json.encode(strict_json.plain(nested(200)))) == nested(200)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (
            Parcel(id=1, sentAt=datetime(2026, 1, 2, tzinfo=UTC)),
            {"id": 1, "weight": 1.5, "sentAt": "2026-01-02T00:00:00Z"},
        ),
        ([Parcel(id=1)], [{"id": 1, "weight": 1.5, "sentAt": None}]),
        (Crate([Parcel(id=1), (1, 2)]), {"parcels": [{"id": 1, "weight": 1.5, "sentAt": None}, [1, 2]]}),
        ({"at": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)}, {"at": "2026-01-02T03:04:05.000006Z"}),
        (timedelta(seconds=1), "PT1S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (Colour.RED, "red"),
        ({Colour.RED: {1}}, {"red": [1]}),
        ({1: "a", None: "b", 1.5: "c"}, {"1": "a", "None": "b", "1.5": "c"}),
        (b"text", "text"),
    ],
)
def test_models_moments_and_the_like_become_plain_json(value: Any, plain: Any):
    assert strict_json.plain(value) == plain
    assert [json.loads(text) for text in strict_json.encode_all([value, 1])] == [plain, 1]


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (object(), "", "Unable to serialize unknown type"),
        ({"a": [1, object()]}, "a[1]", "Unable to serialize unknown type"),
        ({"a": {"b": b"\xff"}}, "a.b", "invalid utf-8"),
        ([{"a": Broken(id=7)}], "[0].a", "cannot write 7"),
        ({"a": len}, "a", "Unable to serialize unknown type"),
    ],
)
def test_what_cannot_be_turned_into_plain_json_is_refused_by_its_path(value: Any, path: str, reason: str):
    with pytest.raises(NotPlainJson, match=f"has no JSON form: .*{reason}") as caught:
        strict_json.plain(value)

    assert caught.value.path == path


def test_a_number_that_json_cannot_hold_is_found_inside_of_a_model():
    with pytest.raises(NotPlainJson) as caught:
        strict_json.encode(strict_json.plain(Crate([Parcel(id=1, weight=math.nan)])))

    assert caught.value.path == "parcels[0].weight"


@given(text=st.text(st.characters()))
def test_cleaned_text_can_always_be_stored(text: str):
    cleaned = strict_json.clean_text(text)

    assert json.loads(strict_json.encode(cleaned)) == cleaned
    assert len(cleaned) == len(text)


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_clean_text_is_left_as_it_is(text: str):
    assert strict_json.clean_text(text) == text


def test_cleaning_shows_where_something_was():
    assert strict_json.clean_text("a\0b\ud800c") == "a\N{REPLACEMENT CHARACTER}b?c"
