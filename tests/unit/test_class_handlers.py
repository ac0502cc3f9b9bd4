"""Classes and objects with a method `execute`, and the names that commands take from each other."""

from typing import Any
from uuid import uuid4

import pytest
from factories import claimed_command
from letters import Letter, register, send

from durex_core import AsyncContext, Context, Durex, Spec
from durex_core.errors import InvalidSpec, RegistrationError
from durex_core.facts import AttemptFacts
from durex_core.handle import CommandHandle
from durex_core.registry import Registry


class SendLetter:
    name = "send"

    def __init__(self, stamp: str = "penny black") -> None:
        self.stamp = stamp

    def execute(self, letter: Letter) -> str:
        """Send one letter."""
        return f"{letter.to}: {self.stamp}"


class SendWell(SendLetter):
    defaults = {"retries": 3, "priority": 1, "metadata": {"a": 1}, "queue": "outbound", "payload": {"to": "us"}}  # noqa: RUF012

    def recover(self, letter: Letter, error): ...

    def expired(self): ...


class SendLater:
    async def execute(self, ctx: AsyncContext, letter: Letter) -> None: ...


def test_an_object_is_a_handler_under_its_own_name(app: Durex):
    handle = app.register(SendLetter("penny red"))
    handler = app.registry.get("send")

    assert (handle.name, handle.handler, handle.__doc__) == ("send", handler, "Send one letter.")
    assert handle(Letter(to="you")) == "you: penny red"
    assert handler is not None
    assert (handler.takes_context, handler.takes_payload, handler.is_async) == (False, True, False)
    assert handler.function(Letter(to="me")) == "me: penny red"
    assert (handler.on_recover, handler.on_expired) == (None, None)


def test_an_object_may_bring_its_options_and_its_hooks_along(app: Durex):
    app.register(SendWell())
    handler = app.registry.get("send")

    assert handler is not None
    assert (handler.defaults.retries, handler.defaults.priority, handler.queue) == (3, 1, "outbound")
    assert handler.default_payload == {"to": "us"}
    assert handler.on_recover is not None
    assert handler.on_recover.roles == ("payload", "error")
    assert handler.on_expired is not None
    assert handler.on_expired.roles == ()


def test_options_given_at_the_registration_beat_those_of_the_object(app: Durex):
    def undo(error): ...

    app.register(
        SendWell(), name="other", retries=0, metadata={"b": 2}, queue=None, payload={"to": "all"}, on_recover=undo
    )
    handler = app.registry.get("other")

    assert handler is not None
    assert (handler.defaults.retries, handler.defaults.priority, handler.queue) == (0, 1, "outbound")
    assert (handler.defaults.metadata, handler.default_payload) == ({"a": 1, "b": 2}, {"to": "all"})
    assert handler.on_recover is not None
    assert handler.on_recover.function is undo


def test_a_class_is_made_without_arguments(app: Durex):
    handle = app.command("post", retries=1)(SendLetter)
    later = app.command("later")(SendLater)
    by_itself = app.register(SendWell)  # type: ignore[call-overload]

    assert handle(Letter(to="you")) == "you: penny black"
    assert app.registry.names == ["post", "later", "send"]
    assert later.handler.is_async
    assert by_itself.name == "send"


class NeedsAMailer:
    def __init__(self, mailer: Any) -> None:
        self.mailer = mailer

    def execute(self) -> None: ...


class WithoutExecute:
    execute = "soon"


class WithListedDefaults(SendLetter):
    defaults = ("retries", 3)


class WithAnUnknownDefault(SendLetter):
    defaults = {"retires": 3}  # noqa: RUF012


class WithANameOfAnotherKind(SendLetter):
    name = 3  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (
            NeedsAMailer,
            r"NeedsAMailer\(\) raised TypeError: .*'mailer'; to give it .*call app\.register\(NeedsAMailer\(",
        ),
        (WithoutExecute, "is neither a function nor has it a method `execute`"),
        (WithoutExecute(), "is neither a function nor has it a method `execute`"),
        (3, "3 is neither a function nor has it a method `execute`"),
        (WithListedDefaults, r"defaults: \('retries', 3\) is no mapping of options, such as \{'retries': 3\}"),
        (WithAnUnknownDefault, "retires: is no option of a command"),
    ],
)
def test_what_is_no_handler_is_refused_with_what_to_do(registry: Registry, target: Any, reason: str):
    with pytest.raises(RegistrationError, match=f"^command 'send': .*{reason}"):
        register(registry, target)

    assert "send" not in registry


@pytest.mark.parametrize("target", [NeedsAMailer(3), WithANameOfAnotherKind(), send])
def test_an_object_without_a_name_is_refused(app: Durex, target: Any):
    with pytest.raises(RegistrationError, match="has no name: give it an attribute `name`, or register it with name=…"):
        app.register(target)

    assert app.register(target, name="named").name == "named"


# Names


def test_a_name_is_taken_over_on_request_alone(app: Durex):
    first = app.command("send")(send)
    with pytest.raises(RegistrationError, match=r"already registered; names are unique .* another's place with repl"):
        app.register(SendLetter())
    assert app.registry.get("send") is first.handler

    second = app.register(SendLetter(), replace=True)
    assert app.registry.get("send") is second.handler
    third: CommandHandle[Any, Any] = app.command("send", replace=True)(send)
    assert app.registry.get("send") is third.handler
    assert app.command("new", replace=True)(send).name == "new"


def test_a_failed_take_over_leaves_the_first_one_in_its_place(app: Durex):
    first = app.command("send")(send)

    with pytest.raises(RegistrationError):
        app.command("send", replace=True, retries=-1)(send)

    assert app.registry.get("send") is first.handler


def test_a_registry_tells_what_is_in_it(app: Durex):
    app.command("a")(send)
    app.command("b", queue="left")(send)

    assert (app.registry.names, len(app.registry)) == (["a", "b"], 2)
    assert "a" in app.registry
    assert "left" not in app.registry
    assert [app.unregister("a"), app.unregister("a")] == [True, False]
    assert app.registry.names == ["b"]
    with pytest.raises(InvalidSpec, match="no command named 'a'"):
        app.registry.prepare(Spec("a"), uuid4())
    app.registry.clear()
    assert (len(app.registry), app.registry.queues) == (0, [])
    app.command("a")(send)


def test_arguments_are_what_the_method_takes(app: Durex):
    class Both:
        def execute(self, ctx: Context, letter: Letter) -> None: ...

    handler = app.register(Both(), name="both").handler
    context = AttemptFacts(claimed_command())

    assert handler.arguments(context, 1) == [context, 1]
