"""The registry: which functions can stand behind a command, and what it makes of a spec."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import pytest
from factories import claimed_command
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from durex_core import AsyncContext, Context, Durex, Spec
from durex_core.backoff import Constant, Exponential
from durex_core.errors import InvalidPayload, InvalidSpec, PayloadTooLarge, RegistrationError, UnknownCommand
from durex_core.facts import AttemptFacts
from durex_core.handle import CommandHandle
from durex_core.handlers.handler import Handler
from durex_core.model import NewCommand
from durex_core.registry import Registry

if TYPE_CHECKING:
    from decimal import Decimal

LIMIT = 100


class Order(BaseModel):
    id: str
    amount: Annotated[int, Field(gt=0)]
    lines: list[int] = []


@dataclass
class Crate:
    weight: float
    sent_at: datetime | None = None


class Label(TypedDict):  # before Python 3.12 pydantic reads only this one
    text: str


@pytest.fixture
def registry() -> Registry:
    """An empty registry."""
    return Registry(max_payload_bytes=LIMIT)


def register(registry: Registry, function: Callable[..., Any], name: str = "pack", **options: Any) -> Handler:
    return registry.register(name, function, options)


def prepare(registry: Registry, payload: Any = None, **options: Any) -> NewCommand:
    return registry.prepare(Spec("pack", payload, **options), uuid4())


# Signatures


def with_both(ctx: Context, order: Order) -> None: ...
def with_both_untyped(ctx, payload): ...
def with_both_and_a_long_name(context, payload): ...
def with_payload(order: Order) -> None: ...
def with_payload_untyped(payload): ...
def with_payload_named_like_a_context(ctx: Order) -> None: ...
def with_context(ctx: Context) -> None: ...
def with_context_of_another_name(attempt: Context) -> None: ...
def with_context_untyped(ctx): ...
def with_nothing() -> None: ...
def with_defaults(ctx: Context, order: Order | None = None, *, retry: bool = False) -> None: ...
def with_a_forward_reference(order: "Order") -> None: ...
async def with_both_async(ctx: AsyncContext, order: Order) -> None: ...
async def with_nothing_async() -> None: ...


class Packer:
    def pack(self, ctx: Context, order: Order) -> None: ...

    @staticmethod
    def weigh(order: Order) -> None: ...


@pytest.mark.parametrize(
    ("function", "takes_context", "takes_payload", "is_async"),
    [
        (with_both, True, True, False),
        (with_both_untyped, True, True, False),
        (with_both_and_a_long_name, True, True, False),
        (with_payload, False, True, False),
        (with_payload_untyped, False, True, False),
        (with_payload_named_like_a_context, False, True, False),
        (with_context, True, False, False),
        (with_context_of_another_name, True, False, False),
        (with_context_untyped, True, False, False),
        (with_nothing, False, False, False),
        (with_defaults, True, True, False),
        (with_a_forward_reference, False, True, False),
        (with_both_async, True, True, True),
        (with_nothing_async, False, False, True),
        (Packer().pack, True, True, False),
        (Packer.weigh, False, True, False),
    ],
)
def test_a_handler_may_leave_out_its_context_and_its_payload(
    registry: Registry, function: Callable[..., Any], takes_context: bool, takes_payload: bool, is_async: bool
):
    handler = register(registry, function)

    assert (handler.takes_context, handler.takes_payload, handler.is_async) == (takes_context, takes_payload, is_async)


def test_arguments_are_passed_as_the_signature_asks_for_them(registry: Registry):
    context = AttemptFacts(claimed_command())

    assert register(registry, with_both, "a").arguments(context, 1) == [context, 1]
    assert register(registry, with_payload, "b").arguments(context, 1) == [1]
    assert register(registry, with_context, "c").arguments(context, None) == [context]
    assert register(registry, with_nothing, "d").arguments(context, None) == []


def with_two_payloads(ctx: Context, order: Order, crate: Crate) -> None: ...
def with_the_context_last(order: Order, ctx: Context) -> None: ...
def with_a_keyword_that_nobody_passes(order: Order, *, urgent: bool) -> None: ...
def with_a_type_that_is_not_there(amount: "Decimal") -> None: ...
def with_a_type_that_nothing_can_read(payload: "threading.Lock") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def with_a_type_that_pydantic_cannot_read(payload: Registry) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (with_two_payloads, "take (ctx, payload), (payload), (ctx) or nothing, not ctx, order, crate; gather several"),
        (with_the_context_last, "take (ctx, payload), (payload), (ctx) or nothing, not order, ctx"),
        (Packer.pack, "take (ctx, payload), (payload), (ctx) or nothing, not self, ctx, order"),
        (with_a_keyword_that_nobody_passes, "nobody would pass the keyword-only parameter 'urgent'; give it a default"),
        (with_a_type_that_is_not_there, "name 'Decimal' is not defined); import the type outside `if TYPE_CHECKING`"),
        (with_a_type_that_nothing_can_read, "an annotation cannot be read at run time"),
        (with_a_type_that_pydantic_cannot_read, "pydantic cannot read the payload type"),
    ],
)
def test_a_signature_that_could_not_be_called_is_refused_with_what_to_mend(
    registry: Registry, function: Callable[..., Any], reason: str
):
    with pytest.raises(RegistrationError) as caught:
        register(registry, function)

    assert str(caught.value).startswith("command 'pack': ")
    assert reason in str(caught.value)
    assert registry.get("pack") is None


# Names, queues and options


def test_a_name_is_registered_once(registry: Registry):
    first = register(registry, with_payload)

    with pytest.raises(RegistrationError, match="a command named 'pack' is already registered; names are unique"):
        register(registry, with_both)

    assert registry.get("pack") is first


def test_a_queue_is_named_like_its_command_unless_it_is_named_otherwise(registry: Registry):
    register(registry, with_payload, "pack")
    register(registry, with_payload, "ship", queue="outbound")
    register(registry, with_payload, "label", queue="outbound")

    assert registry.queues == ["pack", "outbound"]
    assert [handler.name for handler in registry] == ["pack", "ship", "label"]


@pytest.mark.parametrize("name", ["", "a b", "1a", "ä", "a\n", "x" * 101, None])
def test_a_name_or_queue_that_is_none_is_refused(registry: Registry, name: Any):
    with pytest.raises(RegistrationError, match="name: "):
        register(registry, with_payload, name)
    if name:
        with pytest.raises(RegistrationError, match="command 'pack': "):
            register(registry, with_payload, queue=name)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("retries", -1),
        ("retries", 1001),
        ("retries", True),
        ("priority", 40_000),
        ("timeout", timedelta(days=8)),
        ("timeout", 30),
        ("backoff", "exponential"),
        ("dead_letter", "no"),
        ("tags", "abc"),
        ("tags", ["a"] * 21),
    ],
)
def test_a_default_out_of_its_bounds_is_refused_by_its_name(registry: Registry, option: str, value: Any):
    with pytest.raises(RegistrationError, match=f"command 'pack': {option}: "):
        register(registry, with_payload, **{option: value})


@pytest.mark.parametrize(
    "option", ["retires", "id", "queues", "run_at", "sequence", "unique_key", "idempotency_key", "delay"]
)
def test_an_option_that_does_not_exist_is_refused_by_its_name(registry: Registry, option: str):
    with pytest.raises(RegistrationError, match=f"command 'pack': {option}: is no option of a command"):
        register(registry, with_payload, **{option: 3})


def test_every_fault_of_a_declaration_is_a_type_error_too():
    assert issubclass(RegistrationError, TypeError)


# From a spec to a new command


def test_an_unknown_name_is_refused_with_the_known_ones(registry: Registry):
    with pytest.raises(UnknownCommand, match=r"no command named 'pack' is registered \(known: none\)"):
        prepare(registry)
    register(registry, with_payload, "ship")
    register(registry, with_payload, "label")

    with pytest.raises(UnknownCommand, match=r"\(known: label, ship\)") as caught:
        prepare(registry)

    assert (caught.value.field, caught.value.name) == ("name", "pack")


def test_a_spec_beats_its_handler_and_a_handler_beats_the_library(registry: Registry):
    register(registry, with_nothing, retries=3, priority=5, tags=["a", "b"], timeout=timedelta(seconds=1))

    prepared = prepare(registry, retries=7, tags=["c"])

    assert (prepared.retries, prepared.tags) == (7, ("c",))
    assert (prepared.priority, prepared.timeout) == (5, timedelta(seconds=1))
    assert (prepared.dead_letter, prepared.delay, prepared.backoff) == (True, timedelta(0), None)


def test_zero_false_and_empty_are_values(registry: Registry):
    register(registry, with_nothing, retries=3, priority=5, tags=["a"], dead_letter=True, backoff=Constant())

    prepared = prepare(registry, retries=0, priority=0, tags=(), dead_letter=False, delay=timedelta(0))

    assert (prepared.retries, prepared.priority, prepared.tags, prepared.dead_letter) == (0, 0, (), False)


def test_zero_and_false_of_a_handler_are_values_too(registry: Registry):
    register(registry, with_nothing, retries=0, dead_letter=False)

    assert (prepare(registry).retries, prepare(registry).dead_letter) == (0, False)
    assert (prepare(registry, retries=1).retries, prepare(registry, dead_letter=True).dead_letter) == (1, True)


def test_a_backoff_travels_as_plain_json(registry: Registry):
    register(registry, with_nothing, backoff=Exponential(timedelta(seconds=2), 3.0))

    assert prepare(registry).backoff == {
        "kind": "exponential",
        "initial_delay": 2.0,
        "factor": 3.0,
        "max_delay": 300.0,
    }


def test_keys_and_the_id_are_taken_from_the_spec(registry: Registry):
    register(registry, with_nothing, queue="outbound")
    command_id = uuid4()

    prepared = registry.prepare(Spec("pack", correlation_id="c", unique_key="u", idempotency_key="i"), command_id)

    assert (prepared.id, prepared.name, prepared.queue, prepared.parent_id) == (command_id, "pack", "outbound", None)
    assert (prepared.correlation_id, prepared.unique_key, prepared.idempotency_key) == ("c", "u", "i")


@pytest.mark.parametrize(
    ("of_parent", "of_child", "expected"),
    [("order:1", None, "order:1"), ("order:1", "order:2", "order:2"), (None, None, str(UUID(int=7))), (None, "x", "x")],
)
def test_a_child_inherits_what_ties_its_parent_to_others(
    registry: Registry, of_parent: str | None, of_child: str | None, expected: str
):
    register(registry, with_nothing)
    parent = claimed_command(id=UUID(int=7), correlation_id=of_parent)

    child = registry.prepare(Spec("pack", correlation_id=of_child), uuid4(), parent=parent)

    assert (child.parent_id, child.correlation_id) == (parent.id, expected)


# Payloads


def into(annotation: Any) -> Callable[..., Any]:
    def handler(payload): ...

    handler.__annotations__ = {"payload": annotation}
    return handler


@pytest.mark.parametrize(
    ("annotation", "payload", "stored", "seen"),
    [
        (Order, {"id": "1", "amount": 2}, {"id": "1", "amount": 2}, Order(id="1", amount=2)),
        (Order, Order(id="1", amount=2), {"id": "1", "amount": 2, "lines": []}, Order(id="1", amount=2)),
        (Crate, Crate(1.5), {"weight": 1.5, "sent_at": None}, Crate(1.5)),
        (
            Crate,
            Crate(2, datetime(2026, 1, 2, tzinfo=UTC)),
            {"weight": 2, "sent_at": "2026-01-02T00:00:00Z"},
            Crate(2, datetime(2026, 1, 2, tzinfo=UTC)),
        ),
        (Label, {"text": "x"}, {"text": "x"}, {"text": "x"}),
        (list[Order], [{"id": "1", "amount": 2}], [{"id": "1", "amount": 2}], [Order(id="1", amount=2)]),
        (tuple[int, str], (1, "a"), [1, "a"], (1, "a")),
        (UUID, UUID(int=1), str(UUID(int=1)), UUID(int=1)),
        (int, 0, 0, 0),
        (bool, False, False, False),
        (str, "", "", ""),
        (Order | None, None, None, None),
        (None, None, None, None),
        (Any, {"any": [1, None]}, {"any": [1, None]}, {"any": [1, None]}),
    ],
)
def test_a_payload_reaches_its_handler_in_the_type_that_it_asks_for(
    registry: Registry, annotation: Any, payload: Any, stored: Any, seen: Any
):
    handler = register(registry, into(annotation))

    prepared = prepare(registry, payload)

    assert prepared.payload == stored
    assert handler.decode(prepared.payload) == seen


def test_a_payload_without_an_annotation_is_passed_on_as_plain_json(registry: Registry):
    handler = register(registry, with_payload_untyped)

    assert handler.decode(prepare(registry, Order(id="1", amount=2)).payload) == {"id": "1", "amount": 2, "lines": []}


@pytest.mark.parametrize(
    ("payload", "field", "reason"),
    [
        ({"id": "1", "amount": 0}, "payload.amount", "Input should be greater than 0"),
        ({"id": "1"}, "payload.amount", "Field required"),
        ({"id": "1", "amount": 1, "lines": [1, "x"]}, "payload.lines[1]", "Input should be a valid integer"),
        ({"id": 1}, "payload.id", "Input should be a valid string; payload.amount: Field required"),
        (None, "payload", "Input should be an object"),
        ([], "payload", "Input should be an object"),
        ({"id": "\ud800", "amount": 1}, "payload.id", "holds a lone surrogate"),
        ({"id": "\0", "amount": 1}, "payload.id", "holds the NUL character"),
        ({"id": "1", "amount": float("nan")}, "payload.amount", "is nan"),
        ([float("inf")], "payload[0]", "is inf"),
        ({"id": object()}, "payload.id", "has no JSON form"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_by_its_field(registry: Registry, payload: Any, field: str, reason: str):
    register(registry, with_payload)

    with pytest.raises(InvalidPayload) as caught:
        prepare(registry, payload)

    assert caught.value.field == field
    assert reason in caught.value.reason


def test_a_payload_for_a_handler_that_takes_none_is_refused(registry: Registry):
    register(registry, with_context)

    with pytest.raises(InvalidPayload, match="payload: command 'pack' takes no payload"):
        prepare(registry, {})

    assert prepare(registry).payload is None


@pytest.mark.parametrize("character", ["x", "ü", "你", "\U0001f9ea"])
def test_a_payload_may_fill_the_limit_to_the_last_byte(registry: Registry, character: str):
    register(registry, with_payload_untyped)
    width = len(character.encode())
    room = LIMIT - len('""')
    filling = character * (room // width) + "x" * (room % width)

    assert prepare(registry, filling).payload == filling

    with pytest.raises(PayloadTooLarge, match="payload: is 101 bytes of JSON, the limit is 100") as caught:
        prepare(registry, filling + "x")
    assert (caught.value.size, caught.value.limit, caught.value.field) == (LIMIT + 1, LIMIT, "payload")


def test_what_is_refused_is_refused_as_a_value_error_of_one_family():
    for error in (UnknownCommand, InvalidPayload, PayloadTooLarge):
        assert issubclass(error, InvalidSpec)
    assert issubclass(InvalidSpec, ValueError)


# The decorator and its handle


def test_a_command_is_still_the_function_that_it_was():
    app = Durex("sqlite:///:memory:")

    @app.command("add", retries=2)
    def add(payload: int) -> int:
        """Add one."""
        return payload + 1

    assert isinstance(add, CommandHandle)
    assert (add(3), add(payload=4), add.__doc__, repr(add)) == (4, 5, "Add one.", "<command 'add'>")
    assert add.__wrapped__(5) == 6


def test_a_handle_makes_specs():
    app = Durex("sqlite:///:memory:")
    handle: CommandHandle[Any, Any] = app.command("pack")(with_payload)

    order = Order(id="1", amount=2)
    assert handle.spec(order, retries=3) == Spec("pack", order, retries=3)
    with pytest.raises(InvalidSpec, match="retires: is no option of a spec"):
        handle.spec(order, retires=3)  # type: ignore[call-arg]


def test_a_function_that_wraps_a_handler_keeps_its_signature(registry: Registry):
    @functools.wraps(with_both)
    def logged(*args: Any, **kwargs: Any) -> Any:
        return with_both(*args, **kwargs)

    handler = register(registry, logged)

    assert (handler.takes_context, handler.takes_payload) == (True, True)
    with pytest.raises(InvalidPayload):
        prepare(registry, {"id": 1})
