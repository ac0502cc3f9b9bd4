"""The commands of an application: which handler stands behind a name, and what it makes of a spec.

A payload is checked here twice, in the same way: when it is enqueued and when its handler is about to run.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, Unpack, cast, get_type_hints
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from durex_core import strict_json
from durex_core.backoff import Backoff
from durex_core.errors import InvalidPayload, InvalidSpec, PayloadTooLarge, RegistrationError, UnknownCommand
from durex_core.facts import AttemptFacts
from durex_core.model import Command, CommandOptions, Enqueued, NewCommand, Spec, SpecOptions

P = TypeVar("P")
R = TypeVar("R")

_SPEC: TypeAdapter[Spec] = TypeAdapter(Spec)
_OPTIONS = ("delay", "priority", "retries", "backoff", "timeout", "dead_letter", "tags")
_BACKOFF: TypeAdapter[Backoff] = TypeAdapter(Backoff)


class Enqueuer(Protocol):
    """Whoever can enqueue: the application."""

    def enqueue(self, name_or_spec: str | Spec, payload: Any = None, /, **options: Unpack[SpecOptions]) -> Enqueued:
        """Store a command."""
        ...


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered function, and how to call it."""

    name: str
    queue: str
    function: Callable[..., Any]
    defaults: Spec
    is_async: bool
    takes_context: bool
    takes_payload: bool
    payload_type: TypeAdapter[Any] | None

    def check(self, payload: Any) -> None:
        """Refuse a plain JSON payload that the handler could not take.

        Raises:
            InvalidPayload: it does not fit; every fault is named by its field.
        """
        if not self.takes_payload and payload is not None:
            raise InvalidPayload("payload", f"command {self.name!r} takes no payload")
        self.decode(payload)

    def decode(self, payload: Any) -> Any:
        """Turn a plain JSON payload into what the handler's annotation asks for."""
        if self.payload_type is None:
            return payload
        try:
            return self.payload_type.validate_json(strict_json.encode(payload))
        except ValidationError as error:
            raise InvalidPayload(*_faults(error, "payload")) from None

    def arguments(self, context: AttemptFacts, payload: Any) -> list[Any]:
        """Return the handler's arguments."""
        return [context] * self.takes_context + [payload] * self.takes_payload


class CommandHandle(Generic[P, R]):
    """A command by its function: call it to run it here and now, `enqueue` it to have it run."""

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

    def spec(self, payload: P = None, /, **options: Unpack[SpecOptions]) -> Spec:  # type: ignore[assignment]
        """Return a spec of this command, to return from a handler or to enqueue with others."""
        return make_spec(self.name, payload, options)

    def enqueue(self, payload: P = None, /, **options: Unpack[SpecOptions]) -> Enqueued:  # type: ignore[assignment]
        """Store a command of this name; options as on `Spec`.

        Raises:
            InvalidSpec: an option or the payload was refused, and nothing was stored.
        """
        return self._enqueuer.enqueue(self.spec(payload, **options))


class Registry:
    """The handlers of an application by name."""

    def __init__(self, *, max_payload_bytes: int) -> None:
        """Start empty; payloads and results of more bytes of JSON than the limit are refused."""
        self.max_payload_bytes = max_payload_bytes
        self._handlers: dict[str, Handler] = {}

    def __iter__(self) -> Iterator[Handler]:
        """Yield the handlers in the order of their registration."""
        return iter(self._handlers.values())

    def get(self, name: str) -> Handler | None:
        """Return the handler of a name, or None."""
        return self._handlers.get(name)

    @property
    def queues(self) -> list[str]:
        """The queues of all handlers, without doubles."""
        return list(dict.fromkeys(handler.queue for handler in self))

    def register(
        self, name: str, function: Callable[..., Any], *, queue: str | None, options: CommandOptions
    ) -> Handler:
        """Add a handler.

        Raises:
            RegistrationError: the name is taken, an option is out of range, or the signature cannot be called.
        """
        if name in self._handlers:
            raise RegistrationError(f"a command named {name!r} is already registered; names are unique in an app")
        handler = _inspect(name, function, queue or name, _defaults(name, queue, options))
        self._handlers[name] = handler
        return handler

    def prepare(self, spec: Spec, command_id: UUID, *, parent: Command | None = None) -> NewCommand:
        """Check a spec and complete it with its handler's defaults; a child inherits its parent's correlation id.

        Raises:
            InvalidSpec: a part of it was refused; the subclass tells an unknown name and a bad payload apart.
        """
        spec = _checked(spec)
        handler = self._handlers.get(spec.name)
        if handler is None:
            raise UnknownCommand(spec.name, self._handlers)
        payload = self.plain_payload(spec.payload)
        handler.check(payload)
        return NewCommand(
            id=command_id,
            name=spec.name,
            queue=handler.queue,
            payload=payload,
            correlation_id=spec.correlation_id or _correlation(parent),
            parent_id=parent.id if parent else None,
            unique_key=spec.unique_key,
            idempotency_key=spec.idempotency_key,
            **_options(handler.defaults) | _options(spec),
        )

    def plain_payload(self, payload: Any) -> Any:
        """Return a payload as plain JSON values.

        Raises:
            InvalidPayload: some part has no JSON form that both databases can hold.
            PayloadTooLarge: its JSON is over the limit.
        """
        try:
            plain = strict_json.plain(payload)
            text = strict_json.encode(plain)
        except strict_json.NotPlainJson as error:
            path = f"payload.{error.path}" if error.path and error.path[0] != "[" else f"payload{error.path}"
            raise InvalidPayload(path, error.reason) from None
        size = len(text.encode())
        if size > self.max_payload_bytes:
            raise PayloadTooLarge(size, self.max_payload_bytes)
        return plain


def make_spec(name: str, payload: Any, options: SpecOptions) -> Spec:
    """Build a spec from keyword options.

    Raises:
        InvalidSpec: there is no option of that name.
    """
    unknown = sorted(set(options) - set(SpecOptions.__annotations__) - set(CommandOptions.__annotations__))
    if unknown:
        raise InvalidSpec(unknown[0], "is no option of a spec; see durex_core.Spec for the options")
    return Spec(name, payload, **options)  # type: ignore[arg-type]  # prepare() checks the types at run time


def _checked(spec: Spec) -> Spec:
    try:
        return _SPEC.validate_python(spec)
    except ValidationError as error:
        raise InvalidSpec(*_faults(error, "")) from None


def _defaults(name: str, queue: str | None, options: CommandOptions) -> Spec:
    """Check a decorator's options in the same way as a spec's."""
    for option in options:
        if option not in CommandOptions.__annotations__:
            raise RegistrationError(f"command {name!r}: {option}: is no option of a command; see Durex.command")
    try:
        _checked(Spec(queue or name))
        return _checked(make_spec(name, None, cast("SpecOptions", options)))
    except InvalidSpec as error:
        raise RegistrationError(f"command {name!r}: {error}") from None


def _inspect(name: str, function: Callable[..., Any], queue: str, defaults: Spec) -> Handler:
    parameters = _positional(name, function)
    hints = _hints(name, function)
    takes_context = bool(parameters) and _is_context(parameters[0], hints)
    rest = parameters[takes_context:]
    if len(rest) > 1:
        raise RegistrationError(
            f"command {name!r}: handlers take (ctx, payload), (payload), (ctx) or nothing, not {', '.join(parameters)};"
            " gather several values in one model"
        )
    return Handler(
        name=name,
        queue=queue,
        function=function,
        defaults=defaults,
        is_async=inspect.iscoroutinefunction(function),
        takes_context=takes_context,
        takes_payload=bool(rest),
        payload_type=_payload_type(name, hints.get(rest[0])) if rest and rest[0] in hints else None,
    )


def _positional(name: str, function: Callable[..., Any]) -> list[str]:
    if not inspect.isroutine(function):
        raise RegistrationError(f"command {name!r}: decorate a function; {function!r} is none")
    found = inspect.signature(function).parameters.values()
    for parameter in found:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise RegistrationError(
                f"command {name!r}: nobody would pass the keyword-only parameter {parameter.name!r}; give it a default"
            )
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        # An annotation may be any text, and reading it may raise anything.
        raise RegistrationError(
            f"command {name!r}: an annotation cannot be read at run time ({error});"
            " import the type outside `if TYPE_CHECKING`, and define payload types at module level"
        ) from error


def _is_context(parameter: str, hints: dict[str, Any]) -> bool:
    annotation = hints.get(parameter)
    if annotation is None:
        return parameter in {"ctx", "context"}
    return isinstance(annotation, type) and issubclass(annotation, AttemptFacts)


def _payload_type(name: str, annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except Exception as error:
        raise RegistrationError(
            f"command {name!r}: pydantic cannot read the payload type {annotation!r}: {error}"
        ) from error


def _faults(error: ValidationError, root: str) -> tuple[str, str]:
    """Return the first fault's field and all reasons of a validation error."""
    faults = [(_path(root, fault["loc"]), fault["msg"]) for fault in error.errors(include_url=False)]
    field, reason = faults[0]
    more = "".join(f"; {other}: {why}" for other, why in faults[1:4])
    return field, f"{reason}{more}"


def _path(root: str, location: tuple[int | str, ...]) -> str:
    path = root
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _correlation(parent: Command | None) -> str | None:
    return None if parent is None else parent.correlation_id or str(parent.id)


def _options(spec: Spec) -> dict[str, Any]:
    """Return the options that a spec sets, as a new command takes them."""
    chosen = {name: getattr(spec, name) for name in _OPTIONS}
    if spec.backoff is not None:
        chosen["backoff"] = _BACKOFF.dump_python(spec.backoff, mode="json")
    return {name: value for name, value in chosen.items() if value is not None}
