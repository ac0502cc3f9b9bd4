# mypy: disable-error-code="overload-overlap"
# The overloads overlap, and the first that fits is meant: without a context, a payload is what is left.
"""How an application takes in its commands: what `Durex.command` and `Durex.register` are.

A handler comes in eight forms: with or without a context, with or without a payload, plain or a coroutine function.
Each is spelled out here, so that a type checker knows the payload and the result of every handle.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, Unpack, overload

from durex_core.execution.context import AsyncContext, Context
from durex_core.handle import CommandHandle, Enqueuer, FunctionHandle
from durex_core.handlers import registration
from durex_core.handlers.handler import HandlerOptions

P = TypeVar("P")
R = TypeVar("R")
F = TypeVar("F")
F_co = TypeVar("F_co", covariant=True)
Lacking = TypeVar("Lacking")


class Executes(Protocol[F_co]):
    """An object whose method `execute` is a handler.

    It may also have `recover` and `expired`, which are its hooks; `defaults`, a mapping of options; and `name`.
    """

    @property
    def execute(self) -> F_co:
        """The handler."""
        ...


Later: TypeAlias = Coroutine[Any, Any, R]
FunctionOrClass: TypeAlias = F | type[Executes[F]]


class RegisterOptions(HandlerOptions, total=False):
    """What `Durex.register` is told beside the options of the handler.

    Attributes:
        name: the command's name (default: the object's attribute `name`).
        replace: whether it may take the place of a command of that name.
        payload: the default payload.
    """

    name: str
    replace: bool
    payload: Any


class Decorator(Generic[Lacking]):
    """What `Durex.command` returns: it registers a function, or a class that is made without arguments.

    `Lacking` is None if the command has a default payload, so that it may be enqueued without one; else Never.
    """

    def __init__(self, app: Enqueuer, name: str, options: Mapping[str, Any], *, replace: bool) -> None:
        """Keep what is to be said of the handler."""
        self._app = app
        self._name = name
        self._options = options
        self._replace = replace

    @overload
    def __call__(self, handler: type[Executes[Callable[[], Later[R]]]], /) -> FunctionHandle[None, R, [], Later[R]]: ...
    @overload
    def __call__(self, handler: type[Executes[Callable[[], R]]], /) -> FunctionHandle[None, R, [], R]: ...
    @overload
    def __call__(
        self, handler: FunctionOrClass[Callable[[AsyncContext, P], Later[R]]], /
    ) -> FunctionHandle[P | Lacking, R, [AsyncContext, P], Later[R]]: ...
    @overload
    def __call__(
        self, handler: FunctionOrClass[Callable[[AsyncContext], Later[R]]], /
    ) -> FunctionHandle[None, R, [AsyncContext], Later[R]]: ...
    @overload
    def __call__(
        self, handler: FunctionOrClass[Callable[[Context, P], R]], /
    ) -> FunctionHandle[P | Lacking, R, [Context, P], R]: ...
    @overload
    def __call__(
        self, handler: FunctionOrClass[Callable[[Context], R]], /
    ) -> FunctionHandle[None, R, [Context], R]: ...
    @overload
    def __call__(
        self, handler: FunctionOrClass[Callable[[P], Later[R]]], /
    ) -> FunctionHandle[P | Lacking, R, [P], Later[R]]: ...
    @overload
    def __call__(self, handler: FunctionOrClass[Callable[[P], R]], /) -> FunctionHandle[P | Lacking, R, [P], R]: ...
    @overload
    def __call__(self, handler: Callable[[], Later[R]], /) -> FunctionHandle[None, R, [], Later[R]]: ...
    @overload
    def __call__(self, handler: Callable[[], R], /) -> FunctionHandle[None, R, [], R]: ...

    def __call__(self, handler: Any, /) -> CommandHandle[Any, Any]:
        """Register it."""
        registered = self._app.registry.register(self._name, handler, self._options, replace=self._replace)
        return FunctionHandle(registered, self._app)


class Registrar:
    """What `Durex.register` is: it registers an object whose method `execute` is the handler of a command.

    Its methods `recover` and `expired` are the hooks `on_recover` and `on_expired`. Options are those of
    `Durex.command`, and beat the ones in the object's mapping `defaults`. `name` names the command, unless the object
    has a `name` itself; `replace` lets it take the place of another command.

    Raises:
        RegistrationError: there is no name or it is taken, an option is out of its bounds, or `execute` cannot be
            called.
    """

    def __init__(self, app: Enqueuer) -> None:
        """Register for an application."""
        self._app = app

    @overload
    def __call__(
        self, handler: Executes[Callable[[AsyncContext, P], Later[R]]], /, **options: Unpack[RegisterOptions]
    ) -> FunctionHandle[P, R, [AsyncContext, P], Later[R]]: ...
    @overload
    def __call__(
        self, handler: Executes[Callable[[AsyncContext], Later[R]]], /, **options: Unpack[RegisterOptions]
    ) -> FunctionHandle[None, R, [AsyncContext], Later[R]]: ...
    @overload
    def __call__(
        self, handler: Executes[Callable[[Context, P], R]], /, **options: Unpack[RegisterOptions]
    ) -> FunctionHandle[P, R, [Context, P], R]: ...
    @overload
    def __call__(
        self, handler: Executes[Callable[[Context], R]], /, **options: Unpack[RegisterOptions]
    ) -> FunctionHandle[None, R, [Context], R]: ...
    @overload
    def __call__(
        self, handler: Executes[Callable[[P], Later[R]]], /, **options: Unpack[RegisterOptions]
    ) -> FunctionHandle[P, R, [P], Later[R]]: ...
    @overload
    def __call__(
        self, handler: Executes[Callable[[P], R]], /, **options: Unpack[RegisterOptions]
    ) -> FunctionHandle[P, R, [P], R]: ...
    @overload
    def __call__(
        self, handler: Executes[Callable[[], Later[R]]], /, **options: Unpack[RegisterOptions]
    ) -> FunctionHandle[None, R, [], Later[R]]: ...
    @overload
    def __call__(
        self, handler: Executes[Callable[[], R]], /, **options: Unpack[RegisterOptions]
    ) -> FunctionHandle[None, R, [], R]: ...

    def __call__(self, handler: Any, /, **options: Any) -> CommandHandle[Any, Any]:
        """Register it."""
        name, replace = options.pop("name", None), options.pop("replace", False)
        name = registration.name_of(handler) if name is None else name
        return FunctionHandle(self._app.registry.register(name, handler, options, replace=replace), self._app)
