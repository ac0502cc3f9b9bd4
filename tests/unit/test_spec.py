"""What a caller may say of a command: every option within its bounds, and the first fault named."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durex_core import Spec
from durex_core.backoff import Constant, Exponential, Jittered, Linear, NoBackoff
from durex_core.errors import InvalidSpec
from durex_core.handlers.options import make_spec
from durex_core.ids import new_id
from durex_core.model import NewCommand
from durex_core.registry import Registry

MICROSECOND = timedelta(microseconds=1)
ZERO = timedelta(0)


@pytest.fixture(scope="module")
def registry() -> Registry:
    """A registry with one command that takes anything."""
    registry = Registry(max_payload_bytes=1000)
    registry.register("pack", lambda payload: payload, {})
    return registry


def prepare(registry: Registry, **options: Any) -> NewCommand:
    return registry.prepare(make_spec("pack", None, options), new_id())  # type: ignore[arg-type]


ALLOWED: dict[str, list[Any]] = {
    "delay": [ZERO, MICROSECOND, timedelta(days=3660)],
    "priority": [-32768, -1, 0, 32767],
    "retries": [0, 1, 1000],
    "timeout": [MICROSECOND, timedelta(days=7)],
    "dead_letter": [True, False],
    "tags": [(), ("a",), tuple("a" * 20), ("x" * 100,), ("größer", " ")],
    "correlation_id": ["a", "x" * 255, "order:42", "Ω", " "],
    "unique_key": ["a", "x" * 255, "'; DROP TABLE commands; --"],
    "idempotency_key": ["a", "x" * 255, "\U0001f9ea"],
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in ALLOWED.items() for value in values]
)
def test_an_option_within_its_bounds_is_taken_as_it_is(registry: Registry, option: str, value: Any):
    assert getattr(prepare(registry, **{option: value}), option) == value


RARE: dict[str, list[Any]] = {
    "deadline": [MICROSECOND, timedelta(days=3660)],
    "start_within": [MICROSECOND, timedelta(days=3660)],
    "period": [MICROSECOND, timedelta(days=3660)],
    "sequence": [("pack",), ("pack",) * 100],
    "metadata": [{"a": None}, {"x" * 255: [{}]}, {str(number): 1 for number in range(50)}],
    "traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
}


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in RARE.items() for value in values])
def test_a_rare_option_within_its_bounds_is_taken_as_it_is(registry: Registry, option: str, value: Any):
    assert getattr(prepare(registry, **{option: value}).extras, option) == value


CONTROL = ["\0", "a\n", "\x1f", "a\x7fb", "\t"]
REFUSED: dict[str, list[Any]] = {
    "delay": [-MICROSECOND, timedelta(days=3660) + MICROSECOND, 5, 5.0, "5", "PT5S", math.nan],
    "priority": [-32769, 32768, 1.0, "1", True, None.__class__, math.inf],
    "retries": [-1, 1001, 1.5, "3", True, False],
    "timeout": [-MICROSECOND, timedelta(days=7) + MICROSECOND, 30, "30"],
    "backoff": [3, "exponential", timedelta(seconds=1), {"kind": "fibonacci"}, {"kind": "constant", "delay": -1}],
    "deadline": [-MICROSECOND, timedelta(days=3660) + MICROSECOND, 5, "PT5S"],
    "start_within": [-MICROSECOND, timedelta(days=3660) + MICROSECOND, 5, "PT5S"],
    "period": [ZERO, -MICROSECOND, timedelta(days=3660) + MICROSECOND, 5, "PT5S"],
    "sequence": ["pack", ["pack"] * 101, 3, {"pack": 1}],
    "sequence[0]": [[""], ["a b"], [3], [None]],
    "metadata": [[("a", 1)], "a", 3, {3: 1}, {"x" * 256: 1}],
    "traceparent": ["", 3, b"00", "00-0-0-00"],
    "dead_letter": [0, 1, "no", "false"],
    "tags": ["abc", ["a"] * 21, 3, {"a": 1}],
    "tags[0]": [[""], ["x" * 101], [3], [None], [b"a"], *([text] for text in CONTROL), ["\ud800"]],
    "tags[1]": [["a", ""]],
    "correlation_id": ["", "x" * 256, 3, b"a", *CONTROL, "\ud800"],
    "unique_key": ["", "x" * 256, 3, b"a", *CONTROL, "\ud800"],
    "idempotency_key": ["", "x" * 256, 3, b"a", *CONTROL, "\ud800"],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in REFUSED.items() for value in values])
def test_an_option_out_of_its_bounds_is_refused_by_its_name(registry: Registry, field: str, value: Any):
    option = field.partition("[")[0]

    with pytest.raises(InvalidSpec) as caught:
        prepare(registry, **{option: value})

    assert caught.value.field.startswith(field)
    assert str(caught.value) == f"{caught.value.field}: {caught.value.reason}"


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "1a", "-a", ".a", "ä", "a\n", "a\0", "a/b", "a:b", "x" * 101, 3, None, b"a"]
)
def test_a_name_that_is_none_is_refused(registry: Registry, name: Any):
    with pytest.raises(InvalidSpec) as caught:
        registry.prepare(Spec(name), new_id())

    assert caught.value.field == "name"


@pytest.mark.parametrize(
    "backoff", [NoBackoff(), Constant(), Linear(), Exponential(), Jittered(), Jittered(Linear(), 0.5)]
)
def test_a_backoff_is_taken_and_travels_as_plain_json(registry: Registry, backoff: Any):
    prepared = prepare(registry, backoff=backoff).backoff

    assert prepared is not None
    assert prepared["kind"] == backoff.kind


def test_tags_may_come_as_a_list_and_keep_their_order(registry: Registry):
    assert prepare(registry, tags=["b", "a", "b"]).tags == ("b", "a", "b")


def test_none_means_unset(registry: Registry):
    unset = dict.fromkeys(("backoff", *ALLOWED))

    prepared = prepare(registry, **unset)

    assert prepared == prepare_again(registry, prepared)
    assert (prepared.retries, prepared.priority, prepared.delay, prepared.dead_letter) == (0, 0, ZERO, True)


def prepare_again(registry: Registry, prepared: NewCommand) -> NewCommand:
    return registry.prepare(Spec("pack"), prepared.id)


def test_an_option_that_does_not_exist_is_named():
    with pytest.raises(InvalidSpec, match=r"^retires: is no option of a spec; see durex_core\.Spec for the options$"):
        make_spec("pack", None, {"retries": 3, "retires": 3})  # type: ignore[typeddict-unknown-key]


def test_a_spec_is_checked_when_it_is_enqueued_even_if_it_was_made_by_hand(registry: Registry):
    with pytest.raises(InvalidSpec) as caught:
        registry.prepare(Spec("pack", retries=-1, priority=99999), new_id())

    assert caught.value.field == "priority"
    assert "retries: Input should be greater than or equal to 0" in caught.value.reason


@given(text=st.text(min_size=1, max_size=300))
def test_a_key_is_taken_as_it_is_unless_it_is_too_long_or_holds_what_nobody_sees(text: str):
    registry = Registry(max_payload_bytes=1000)
    registry.register("pack", lambda payload: payload, {})

    is_fine = len(text) <= 255 and not any(
        char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in text
    )

    if is_fine:
        assert prepare(registry, unique_key=text).unique_key == text
    else:
        with pytest.raises(InvalidSpec, match=r"^unique_key: "):
            prepare(registry, unique_key=text)
