"""Payloads: completed by a default, brought into the form of today, and how deep they may be."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from letters import LIMIT, Letter, register, send

from durex_core import Spec
from durex_core.errors import InvalidPayload, PayloadTooLarge, RegistrationError
from durex_core.registry import Registry


def stored(registry: Registry, payload: Any = None) -> Any:
    return registry.prepare(Spec("send", payload), uuid4()).payload


def nested(levels: int) -> list[Any]:
    return [nested(levels - 1)] if levels > 1 else [0]


@pytest.mark.parametrize("annotation", [None, Any, list[Any]])
def test_a_payload_may_be_nested_as_deeply_typed_as_untyped(registry: Registry, annotation: Any):
    def handler(payload): ...

    if annotation is not None:
        handler.__annotations__ = {"payload": annotation}
    register(registry, handler)

    assert stored(registry, nested(200)) == nested(200)
    with pytest.raises(InvalidPayload, match=r"^payload: is nested more than 200 levels deep; flatten it$"):
        stored(registry, nested(201))
    with pytest.raises(InvalidPayload, match="payload: is nested too deeply"):
        stored(registry, nested(255))
    assert stored(registry, [[]] * 300) == [[]] * 300


def test_a_result_is_held_to_the_same_limits(registry: Registry):
    assert registry.plain_payload(Letter(to="you")) == {"to": "you", "text": "Hello!"}
    for refused, reason in (
        (float("nan"), "payload: is nan"),
        (nested(201), "payload: is nested more than 200 levels"),
    ):
        with pytest.raises(InvalidPayload, match=reason):
            registry.plain_payload(refused)
    with pytest.raises(PayloadTooLarge):
        registry.plain_payload("x" * LIMIT)


# Default payloads


def test_a_default_payload_fills_what_a_spec_leaves_out(registry: Registry):
    register(registry, send, payload={"to": "us", "text": "Hi!"})

    assert stored(registry) == {"to": "us", "text": "Hi!"}
    assert stored(registry, {"to": "you"}) == {"to": "you", "text": "Hi!"}
    assert stored(registry, Letter(to="you")) == {"to": "you", "text": "Hello!"}
    with pytest.raises(InvalidPayload, match=r"^payload: Input should be an object"):
        stored(registry, ["you"])


def test_a_default_payload_may_be_incomplete_or_no_object(registry: Registry):
    register(registry, send, payload={"text": "Hi!"})
    assert stored(registry, {"to": "you"}) == {"to": "you", "text": "Hi!"}
    with pytest.raises(InvalidPayload, match=r"^payload\.to: Field required"):
        stored(registry)

    registry.register("count", lambda payload: payload, {"payload": [1]})
    assert registry.prepare(Spec("count"), uuid4()).payload == [1]
    assert registry.prepare(Spec("count", {"a": 1}), uuid4()).payload == {"a": 1}
    assert registry.prepare(Spec("count", 0), uuid4()).payload == 0


def test_a_payload_is_measured_with_its_default(registry: Registry):
    register(registry, lambda payload: payload, payload={"a": "x" * 900})

    with pytest.raises(PayloadTooLarge):
        stored(registry, {"b": "x" * 100})


def test_a_default_payload_may_be_a_model_and_is_stored_as_plain_json(registry: Registry):
    assert register(registry, send, payload=Letter(to="us")).default_payload == {"to": "us", "text": "Hello!"}


@pytest.mark.parametrize(
    ("function", "payload", "reason"),
    [
        (send, {"text": float("nan")}, r"payload\.text: is nan"),
        (send, {"text": object()}, r"payload\.text: has no JSON form"),
        (send, "x" * LIMIT, "payload: is 1,002 bytes of JSON, the limit is 1,000"),
        (lambda ctx: ctx, {}, "payload: the handler takes none; leave the option out"),
    ],
)
def test_a_default_payload_that_cannot_be_kept_is_refused(
    registry: Registry, function: Callable[..., Any], payload: Any, reason: str
):
    with pytest.raises(RegistrationError, match=f"^command 'send': {reason}"):
        register(registry, function, payload=payload)


# Payloads of yesterday


def from_text(payload: Any) -> Any:
    """Before, a letter was but the name of whom it is for."""
    return {"to": payload}


def test_a_payload_that_no_longer_fits_is_brought_into_the_form_of_today(registry: Registry):
    handler = register(registry, send, upcast=from_text)

    assert handler.decode("you") == Letter(to="you")
    assert handler.decode({"to": "me"}) == Letter(to="me")
    assert stored(registry, "you") == "you"


def test_an_upcast_may_return_the_type_itself_and_change_what_it_is_given(registry: Registry):
    def upcast(payload: dict[str, Any]) -> Letter:
        return Letter(to=payload.pop("recipient"))

    handler = register(registry, send, upcast=upcast)
    payload = {"recipient": "you"}

    assert handler.decode(payload) == Letter(to="you")
    assert payload == {"recipient": "you"}


def stumble(payload: Any) -> Any:
    raise KeyError(payload[0])


@pytest.mark.parametrize(
    ("upcast", "reason"),
    [
        (stumble, r"; the upcast failed on it: KeyError: 'you'$"),
        (
            lambda payload: {"text": payload},
            r"; what the upcast made of it does not fit either: payload\.to: Field required; ",
        ),
        (lambda payload: {payload[0]: object()}, "; the upcast failed on it: NotPlainJson: "),
    ],
)
def test_an_upcast_that_does_not_help_is_named_beside_the_first_fault(
    registry: Registry, upcast: Callable[[Any], Any], reason: str
):
    handler = register(registry, send, upcast=upcast)

    with pytest.raises(InvalidPayload, match=f"^payload: Input should be an object{reason}"):
        handler.decode(["you"])


async def later(payload: Any) -> Any: ...


def take_anything(payload: Any) -> None: ...


def take_an_object(payload: object) -> None: ...


@pytest.mark.parametrize(
    ("function", "upcast", "reason"),
    [
        (send, 3, "3 is no plain function that takes a payload"),
        (send, later, "is no plain function that takes a payload"),
        (
            lambda payload: payload,
            from_text,
            "would never be called, as any payload fits; annotate the handler's payload",
        ),
        (lambda: None, from_text, "would never be called"),
        (take_anything, from_text, "would never be called"),
        (take_an_object, from_text, "would never be called"),
    ],
)
def test_an_upcast_that_cannot_work_is_refused(registry: Registry, function: Any, upcast: Any, reason: str):
    with pytest.raises(RegistrationError, match=f"^command 'send': upcast: .*{reason}"):
        register(registry, function, upcast=upcast)
