"""Hooks: what is called when a command ends other than well, and with what."""

from collections.abc import Callable
from typing import Any

import pytest
from factories import claimed_command
from pydantic import BaseModel

from durex_core import AsyncContext, Context, Durex
from durex_core.errors import InvalidPayload, RegistrationError
from durex_core.facts import AttemptFacts
from durex_core.handlers.handler import Hook
from durex_core.model import ErrorInfo

ERROR = ErrorInfo("ValueError", "no such order")
CONTEXT: Any = AttemptFacts(claimed_command())
STORED = {"id": "1"}


class Order(BaseModel):
    id: str


class OldOrder(BaseModel):
    number: int


@pytest.fixture
def app() -> Durex:
    """An application without commands."""
    return Durex("sqlite:///:memory:")


def hook_of(app: Durex, kind: str, function: Callable[..., Any], **options: Any) -> Hook:
    handle = app.command("process", **{kind: function}, **options)(process)
    hook: Hook = getattr(handle.handler, kind)
    return hook


def process(order: Order) -> None: ...


def everything(ctx, payload, error): ...
def everything_typed(context: Context, order: Order, why: ErrorInfo): ...
def payload_and_error(order: Order, error): ...
def error_alone(error): ...
def error_of_another_name(why: ErrorInfo | None): ...
def context_and_error(ctx, error: Any): ...
def context_and_payload(ctx, order): ...
def payload_alone(order: dict[str, str]): ...
def context_alone(ctx): ...
def nothing(): ...
def with_a_default(ctx, order: Order, *, urgent: bool = False): ...


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (everything, [CONTEXT, STORED, ERROR]),
        (everything_typed, [CONTEXT, Order(id="1"), ERROR]),
        (payload_and_error, [Order(id="1"), ERROR]),
        (error_alone, [ERROR]),
        (error_of_another_name, [ERROR]),
        (context_and_error, [CONTEXT, ERROR]),
        (context_and_payload, [CONTEXT, STORED]),
        (payload_alone, [STORED]),
        (context_alone, [CONTEXT]),
        (nothing, []),
    ],
)
def test_a_failure_is_told_as_the_hook_asks_for_it(app: Durex, function: Callable[..., Any], arguments: list[Any]):
    hook = hook_of(app, "on_recover", function)

    assert hook.arguments(CONTEXT, STORED, ERROR) == arguments
    assert hook.function is function
    assert not hook.is_async


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (with_a_default, [CONTEXT, Order(id="1")]),
        (context_and_payload, [CONTEXT, STORED]),
        (payload_alone, [STORED]),
        (context_alone, [CONTEXT]),
        (nothing, []),
    ],
)
def test_an_expiry_is_told_as_the_hook_asks_for_it(app: Durex, function: Callable[..., Any], arguments: list[Any]):
    assert hook_of(app, "on_expired", function).arguments(CONTEXT, STORED, None) == arguments


def payload_after_error(error, order): ...
def context_last(order, ctx): ...
def two_payloads(order, other): ...
def two_errors(error, why: ErrorInfo): ...
def error_of_another_type(error: Order): ...
def anything(*args): ...
def error_that_is_raised(error: Exception): ...
def payload_of_no_type(order: Durex): ...


TAKE = r"on_recover hooks take \(ctx, payload, error\), of which any may be left out, not "


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (payload_after_error, TAKE + "error, order; gather several values in one model"),
        (context_last, TAKE + "order, ctx"),
        (two_payloads, TAKE + "order, other"),
        (two_errors, TAKE + "error, why"),
        (anything, r"\*args hides what the function takes"),
        (
            error_of_another_type,
            r"'error' is given a durex_core\.model\.ErrorInfo, not .*Order.*; annotate it so, or give",
        ),
        (error_that_is_raised, r"'error' is given a durex_core\.model\.ErrorInfo, not <class 'Exception'>"),
        (payload_of_no_type, "pydantic cannot read the payload type"),
        ("refund", "on_recover hooks are functions; 'refund' is none"),
    ],
)
def test_a_hook_that_could_not_be_called_is_refused(app: Durex, function: Any, reason: str):
    with pytest.raises(RegistrationError, match=f"^command 'process': on_recover: {reason}"):
        app.command("process", on_recover=function)(process)
    assert "process" not in app.registry

    handle = app.command("process")(process)
    with pytest.raises(RegistrationError, match=f"^command 'process': on_recover: {reason}"):
        handle.on_recover(function)
    assert handle.handler.on_recover is None


@pytest.mark.parametrize("function", [error_alone, error_of_another_name, payload_and_error])
def test_an_expiry_has_no_error_to_tell(app: Durex, function: Callable[..., Any]):
    with pytest.raises(
        RegistrationError, match=r"on_expired: on_expired hooks take \(ctx, payload\), \(payload\), \(ctx\)"
    ):
        app.command("process", on_expired=function)(process)


def test_hooks_are_added_to_a_command_by_decorators_too(app: Durex):
    process_order = app.command("process")(process)

    @process_order.on_recover
    def refund(ctx: Context, order: Order, error: ErrorInfo) -> str:
        return f"{ctx.name} {order.id}: {error.message}"

    @process_order.on_expired
    async def tell(ctx: AsyncContext, order: Order) -> None: ...

    handler = app.registry.get("process")
    assert handler is not None
    assert handler is process_order.handler
    assert handler.function is process
    assert handler.on_recover is not None
    assert handler.on_expired is not None
    assert (handler.on_recover.function, handler.on_expired.function) == (refund, tell)
    assert (handler.on_recover.is_async, handler.on_expired.is_async) == (False, True)
    assert refund(CONTEXT, Order(id="1"), ERROR) == f"{CONTEXT.name} 1: no such order"


@pytest.mark.parametrize("kind", ["on_recover", "on_expired"])
def test_a_command_has_one_hook_of_a_kind(app: Durex, kind: str):
    handle = app.command("process", **{kind: nothing})(process)  # type: ignore[arg-type]

    with pytest.raises(RegistrationError, match=f"command 'process': {kind}: there is one already; a command has one"):
        getattr(handle, kind)(context_alone)

    assert getattr(handle.handler, kind).function is nothing


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_handle_whose_command_is_gone_gives_no_hook_to_another(app: Durex, is_replaced: bool):
    old = app.command("process")(process)
    app.unregister("process")
    new = app.command("process")(process) if is_replaced else None

    with pytest.raises(
        RegistrationError, match="on_expired: this handler was replaced or removed; use the new one's han"
    ):
        old.on_expired(nothing)

    assert app.registry.get("process") is (new.handler if new else None)


def test_a_hook_has_a_payload_type_of_its_own(app: Durex):
    def undo(order: OldOrder): ...

    hook = hook_of(app, "on_recover", undo)

    assert hook.arguments(CONTEXT, {"number": 3}, ERROR) == [OldOrder(number=3)]
    with pytest.raises(InvalidPayload, match=r"^payload\.number: Field required"):
        hook.arguments(CONTEXT, STORED, ERROR)


def test_a_hook_is_helped_by_the_commands_upcast(app: Durex):
    def undo(order: Order): ...

    hook = hook_of(app, "on_recover", undo, upcast=lambda payload: {"id": payload})

    assert hook.arguments(CONTEXT, "7", ERROR) == [Order(id="7")]


def test_a_hook_added_later_is_helped_by_the_commands_upcast(app: Durex):
    handle = app.command("process", upcast=lambda payload: {"id": payload})(process)
    handle.on_expired(payload_and_nothing)

    assert handle.handler.on_expired is not None
    assert handle.handler.on_expired.arguments(CONTEXT, "7", None) == [Order(id="7")]


def payload_and_nothing(order: Order): ...
