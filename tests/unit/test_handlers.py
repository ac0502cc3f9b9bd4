"""Handlers: what a function takes, and what may be said of it."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import uuid4

import pytest
from letters import Letter, register, send

from durex_core import AsyncContext, Context, Durex, Spec
from durex_core.errors import NonRetryable, RegistrationError
from durex_core.model import ErrorInfo
from durex_core.registry import Registry

# Signatures


def with_a_context_or_none(ctx: Context | None, letter: Letter) -> None: ...
def with_an_optional_context(current: "Context | None") -> None: ...
def with_either_context(current: Context | AsyncContext) -> None: ...
def with_a_context_that_is_told_about(current: Annotated[Context | None, "the attempt"]) -> None: ...
def with_a_payload_or_none(letter: Letter | None) -> None: ...
def with_a_context_or_a_payload(either: Context | Letter) -> None: ...


@pytest.mark.parametrize(
    ("function", "takes_context", "takes_payload"),
    [
        (with_a_context_or_none, True, True),
        (with_an_optional_context, True, False),
        (with_either_context, True, False),
        (with_a_context_that_is_told_about, True, False),
        (with_a_payload_or_none, False, True),
    ],
)
def test_a_context_may_be_annotated_as_optional(
    registry: Registry, function: Callable[..., Any], takes_context: bool, takes_payload: bool
):
    handler = register(registry, function)

    assert (handler.takes_context, handler.takes_payload) == (takes_context, takes_payload)


def with_an_error_for_a_payload(error: ErrorInfo) -> None: ...
def with_a_payload_that_is_named_like_an_error(ctx, error) -> None: ...


@pytest.mark.parametrize("function", [with_an_error_for_a_payload, with_a_payload_that_is_named_like_an_error])
def test_an_error_is_a_payload_like_any_other_to_a_handler(registry: Registry, function: Callable[..., Any]):
    assert register(registry, function).takes_payload


def with_everything(*args: Any) -> None: ...
def with_keywords(letter: Letter, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (
            with_everything,
            r"\*args: Any hides what the function takes; handlers take \(ctx, payload\), .*functools\.wraps",
        ),
        (with_keywords, r"\*\*kwargs: Any hides what the function takes"),
        (with_a_context_or_a_payload, "pydantic cannot read the payload type"),
    ],
)
def test_a_signature_that_does_not_say_what_it_takes_is_refused(
    registry: Registry, function: Callable[..., Any], reason: str
):
    with pytest.raises(RegistrationError, match=f"^command 'send': .*{reason}"):
        register(registry, function)


# Exceptions that fail for good


def test_what_is_never_retried_is_said_by_the_app_and_by_the_handler():
    app = Durex("sqlite:///:memory:", never_retry=(KeyError,))
    plain = app.command("plain")(lambda: None)
    special = app.command("special", never_retry=[NonRetryable, PermissionError])(lambda: None)

    assert plain.handler.never_retry == (KeyError,)
    assert special.handler.never_retry == (KeyError, NonRetryable, PermissionError)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((KeyError, 3), "3 is no exception class"),
        ((KeyError("a"),), r"KeyError\('a'\) is no exception class"),
        ((int,), "<class 'int'> is no exception class"),
        (KeyError, r"<class 'KeyError'> is no tuple; write \(<class 'KeyError'>,\)"),
        ("KeyError", r"'KeyError' is no tuple"),
        (3, "3 is no tuple"),
    ],
)
def test_what_is_never_retried_are_exception_classes(registry: Registry, given: Any, reason: str):
    with pytest.raises(RegistrationError, match=f"^command 'send': never_retry: {reason}"):
        register(registry, send, never_retry=given)
    with pytest.raises(RegistrationError, match=f"^Durex: never_retry: {reason}"):
        Durex("sqlite:///:memory:", never_retry=given)


# Permanent commands


def test_a_permanent_command_is_enqueued_once_under_its_own_key(registry: Registry):
    registry.register("sync", lambda: None, {"permanent": True})
    registry.register("tell", send, {"permanent": True, "payload": {"to": "us"}})
    registry.register("send", send, {"permanent": False})

    assert registry.permanent == [
        Spec("sync", unique_key="permanent:sync"),
        Spec("tell", unique_key="permanent:tell"),
    ]
    assert [registry.prepare(spec, uuid4()).payload for spec in registry.permanent] == [None, {"to": "us"}]
    assert [handler.is_permanent for handler in registry] == [True, True, False]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {},
            r"it is enqueued without a payload, and then: payload: Input should be an object; give it one with pay",
        ),
        (
            {"payload": {"text": "Hi!"}},
            r"it is enqueued without a payload, and then: payload\.to: Field required; give it",
        ),
        ({"permanent": "yes"}, r"'yes' is neither True nor False"),
        ({"permanent": 1}, r"1 is neither True nor False"),
    ],
)
def test_a_permanent_command_that_needs_a_payload_is_refused(registry: Registry, options: Any, reason: str):
    with pytest.raises(RegistrationError, match=f"^command 'send': permanent: {reason}"):
        register(registry, send, **{"permanent": True} | options)


# The kind of context


def test_a_coroutine_function_that_asks_for_the_context_of_plain_ones_is_refused():
    async def handler(ctx: Context) -> None: ...

    with pytest.raises(RegistrationError, match="coroutine functions are given an AsyncContext"):
        Durex().command("pack")(handler)  # type: ignore[arg-type, call-overload, unused-ignore]


def test_a_plain_function_that_asks_for_the_context_of_coroutines_is_refused():
    def handler(ctx: AsyncContext) -> None: ...

    with pytest.raises(RegistrationError, match="and others a Context"):
        Durex().command("pack")(handler)  # type: ignore[arg-type, call-overload, unused-ignore]
