"""The handle of a command: what stands in the place of its function."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from durex_core.handlers.handler import Handler
from durex_core.handlers.options import make_spec
from durex_core.model import Enqueued
from durex_core.registry import Registry
from durex_core.spec import Spec, SpecOptions

P = TypeVar("P", contravariant=True)  # noqa: PLC0105  hovering over a handle shows its name
R = TypeVar("R", covariant=True)  # noqa: PLC0105  the same
Returned_co = TypeVar("Returned_co", covariant=True)
Parameters = ParamSpec("Parameters")
HookFunction = TypeVar("HookFunction", bound=Callable[..., Any])


class Enqueuer(Protocol):
    """What a handle needs of its application."""

    registry: Registry

    def enqueue(
        self,
        name_or_spec: str | Spec,
        payload: Any = None,
        /,
        *,
        connection: Any = None,
        **options: Unpack[SpecOptions],
    ) -> Enqueued:
        """Store a command."""
        ...


class CommandHandle(Generic[P, R]):
    """A command with a payload of `P` and a result of `R`: call it to run it here and now, `enqueue` to have it run."""

    def __init__(self, handler: Handler, enqueuer: Enqueuer) -> None:
        """Tie a handler to its application."""
        self.handler = handler
        self.name = handler.name
        self.__doc__ = handler.function.__doc__
        self.__wrapped__ = handler.function
        self._enqueuer = enqueuer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself: nothing is stored."""
        return self.handler.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Name the command."""
        return f"<command {self.name!r}>"

    @overload
    def spec(self: "CommandHandle[None, Any]", payload: None = None, /, **options: Unpack[SpecOptions]) -> Spec: ...
    @overload
    def spec(self, payload: P, /, **options: Unpack[SpecOptions]) -> Spec: ...

    def spec(self, payload: Any = None, /, **options: Unpack[SpecOptions]) -> Spec:
        """Return a spec of this command, to return from a handler or to enqueue with others."""
        return make_spec(self.name, payload, options)

    @overload
    def enqueue(
        self: "CommandHandle[None, Any]",
        payload: None = None,
        /,
        *,
        connection: Any = None,
        **options: Unpack[SpecOptions],
    ) -> Enqueued: ...
    @overload
    def enqueue(self, payload: P, /, *, connection: Any = None, **options: Unpack[SpecOptions]) -> Enqueued: ...

    def enqueue(self, payload: Any = None, /, *, connection: Any = None, **options: Unpack[SpecOptions]) -> Enqueued:
        """Store a command of this name; options as on `Spec`, and `connection` as for `Durex.enqueue`.

        Raises:
            InvalidSpec: an option or the payload was refused, and nothing was stored.
        """
        return self._enqueuer.enqueue(make_spec(self.name, payload, options), connection=connection)

    def on_recover(self, function: HookFunction, /) -> HookFunction:
        """Have the decorated function called when a command has failed for good.

        It takes `(ctx, payload, error)`, of which any may be left out, and may return what a handler may, such as
        `Spawn` with what makes up for the failure. `error` is a `durex_core.model.ErrorInfo`.

        Raises:
            RegistrationError: there is such a hook already, or the function cannot be called so.
        """
        self.handler = self._enqueuer.registry.attach(self.handler, "on_recover", function)
        return function

    def on_expired(self, function: HookFunction, /) -> HookFunction:
        """Have the decorated function called when a command has expired.

        It takes `(ctx, payload)`, of which any may be left out, and may return what a handler may.

        Raises:
            RegistrationError: there is such a hook already, or the function cannot be called so.
        """
        self.handler = self._enqueuer.registry.attach(self.handler, "on_expired", function)
        return function


class FunctionHandle(CommandHandle[P, R], Generic[P, R, Parameters, Returned_co]):
    """A handle of which type checkers know how it is called: as its function is."""

    if TYPE_CHECKING:

        def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned_co:
            """Call the function itself: nothing is stored."""
            ...
