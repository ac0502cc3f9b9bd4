"""The commands of an application: which handler stands behind a name, and what it makes of a spec.

A payload is checked here twice, in the same way: when it is enqueued and when its handler is about to run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

from pydantic_core import from_json

from durex_core.errors import RegistrationError, UnknownCommand
from durex_core.handlers import options, payloads, registration
from durex_core.handlers.handler import Handler
from durex_core.handlers.options import Options
from durex_core.model import Command, NewCommand
from durex_core.spec import CommandOptions, Spec


class Registry:
    """The handlers of an application by name."""

    def __init__(
        self,
        *,
        max_payload_bytes: int,
        defaults: CommandOptions | None = None,
        never_retry: Iterable[type[BaseException]] = (),
    ) -> None:
        """Start empty.

        Args:
            max_payload_bytes: the most bytes of JSON that a payload or a result may take.
            defaults: options of every command whose handler or spec says nothing else.
            never_retry: exceptions that fail any command for good.

        Raises:
            RegistrationError: a default is out of its bounds, or something is no exception class.
        """
        self.max_payload_bytes = max_payload_bytes
        self._app: Options = registration.app_options(defaults or {})
        self._never_retry = registration.error_types("Durex", never_retry)
        self._handlers: dict[str, Handler] = {}

    def __iter__(self) -> Iterator[Handler]:
        """Yield the handlers in the order of their registration."""
        return iter(self._handlers.values())

    def __len__(self) -> int:
        return len(self._handlers)

    def __contains__(self, name: object) -> bool:
        return name in self._handlers

    def get(self, name: str) -> Handler | None:
        """Return the handler of a name, or None."""
        return self._handlers.get(name)

    @property
    def names(self) -> list[str]:
        """The names of all commands."""
        return list(self._handlers)

    @property
    def queues(self) -> list[str]:
        """The queues of all handlers, without doubles."""
        return list(dict.fromkeys(handler.queue for handler in self))

    @property
    def permanent(self) -> list[Spec]:
        """What to enqueue so that each permanent command is there: its key keeps it from being there twice."""
        return [Spec(handler.name, unique_key=_permanent_key(handler.name)) for handler in self if handler.is_permanent]

    @property
    def templates(self) -> list[NewCommand]:
        """What each handler gives the commands of its name when nothing else is said."""
        return [
            NewCommand(UUID(int=0), handler.name, handler.queue, handler.default_payload, **handler.stored)
            for handler in self
        ]

    def register(self, name: str, target: Any, given: Mapping[str, Any], *, replace: bool = False) -> Handler:
        """Add a function, a class or an object with a method `execute` as the handler of a name.

        `given` are the options of `HandlerOptions`, and `payload`. With `replace` it takes the place of another one.

        Raises:
            RegistrationError: the name is taken, an option is out of range, or the signature cannot be called.
        """
        if not replace and name in self.names:
            raise RegistrationError(
                f"a command named {name!r} is already registered; names are unique in an app,"
                " unless one is to take another's place with replace=True"
            )
        handler = registration.build(
            name,
            target,
            given,
            app=self._app,
            never_retry=self._never_retry,
            max_bytes=self.max_payload_bytes,
        )
        self._handlers[name] = handler
        return handler

    def unregister(self, name: str) -> bool:
        """Forget the handler of a name; say whether there was one."""
        return self._handlers.pop(name, None) is not None

    def clear(self) -> None:
        """Forget all handlers."""
        self._handlers.clear()

    def attach(
        self, handler: Handler, kind: Literal["on_recover", "on_expired"], function: Callable[..., Any]
    ) -> Handler:
        """Add a hook to a handler, and return the handler with it.

        Raises:
            RegistrationError: it has such a hook already, the hook cannot be called, or the handler is gone.
        """
        where = f"command {handler.name!r}"
        if self._handlers.get(handler.name) is not handler:
            raise RegistrationError(f"{where}: {kind}: this handler was replaced or removed; use the new one's handle")
        if getattr(handler, kind) is not None:
            raise RegistrationError(f"{where}: {kind}: there is one already; a command has one such hook")
        hook = registration.hook(where, kind, function, handler.upcast)
        hooked = replace(handler, on_recover=hook) if kind == "on_recover" else replace(handler, on_expired=hook)
        self._handlers[handler.name] = hooked
        return hooked

    def prepare(
        self,
        spec: Spec,
        command_id: UUID,
        *,
        parent: Command | None = None,
        join_id: UUID | None = None,
        join_position: int | None = None,
        awaits: int = 0,
        allow_failures: bool = False,
    ) -> NewCommand:
        """Check a spec and complete it with the defaults of its handler and of the app.

        Args:
            spec: what a caller handed over.
            command_id: the id that the command is to have.
            parent: whose child it is; it inherits the correlation id and the trace context.
            join_id: the command that waits for this one, and `join_position` its place among those.
            join_position: see `join_id`.
            awaits: how many commands it waits for, and with `allow_failures` whether all must have completed.
            allow_failures: see `awaits`.

        Raises:
            InvalidSpec: a part of it was refused; the subclass tells an unknown name and a bad payload apart.
        """
        known = self._handlers.get(spec.name) if parent is None and options.is_bare(spec) else None
        if known and join_id is None and not awaits:
            payload = self._payload(known, spec)
            return NewCommand(command_id, known.name, known.queue, payload, **known.stored)
        spec = options.check(spec)
        handler = self._handler(spec)
        payload = self._payload(handler, spec)
        chosen = _merged(handler, spec)
        if parent is not None:
            chosen.setdefault("traceparent", parent.traceparent)
        return NewCommand(
            id=command_id,
            name=spec.name,
            queue=handler.queue,
            payload=payload,
            correlation_id=spec.correlation_id or _correlation(parent),
            parent_id=parent.id if parent else None,
            unique_key=spec.unique_key,
            idempotency_key=spec.idempotency_key,
            join_id=join_id,
            awaits=awaits,
            **options.for_store(chosen, join_position=join_position, allow_failures=allow_failures),
        )

    def plain_payload(self, payload: Any) -> Any:
        """Return a payload as plain JSON values.

        Raises:
            InvalidPayload: some part has no JSON form that both databases can hold.
            PayloadTooLarge: its JSON is over the limit.
        """
        plain = payloads.plain(payload)
        payloads.encode(plain, self.max_payload_bytes)
        return plain

    def payload_texts(self, specs: Sequence[Spec]) -> list[bytes]:
        """Check the payloads of many specs whose names are known, all in one pass, and return their JSON.

        Raises:
            InvalidPayload: one is refused by `prepare`, too, which says why.
        """
        texts = payloads.all_prepared((spec.payload for spec in specs), self.max_payload_bytes)
        if all(self._handlers[name].takes_anything for name in {spec.name for spec in specs}):
            return texts
        return [self._fitted(self._handlers[spec.name], text) for spec, text in zip(specs, texts, strict=True)]

    def _payload(self, handler: Handler, spec: Spec) -> Any:
        """Return the payload of a spec as plain JSON that its handler takes."""
        payload, text = payloads.prepared(spec.payload, handler.default_payload, self.max_payload_bytes)
        handler.check_text(text)
        return payload

    def _fitted(self, handler: Handler, text: bytes) -> bytes:
        """Return the JSON of a payload that its handler takes, completed by the handler's default."""
        if handler.default_payload is not None:
            _, text = payloads.prepared(from_json(text), handler.default_payload, self.max_payload_bytes)
        handler.check_text(text)
        return text

    def _handler(self, spec: Spec) -> Handler:
        """Return the handler of a spec whose names are all known."""
        handler = self._handlers.get(spec.name)
        if handler is None:
            raise UnknownCommand(spec.name, self._handlers)
        for position, name in enumerate(spec.sequence or ()):
            if name not in self._handlers:
                raise UnknownCommand(name, self._handlers, f"sequence[{position}]")
        return handler


def is_permanent(command: Command) -> bool:
    """Whether a command is the one of its name that is always to be there."""
    return command.unique_key == _permanent_key(command.name)


def _permanent_key(name: str) -> str:
    return f"permanent:{name}"


def _merged(handler: Handler, spec: Spec) -> Options:
    merged = options.merge(handler.options, options.given(spec))
    if spec.metadata:
        options.check_metadata(merged)
    return merged


def _correlation(parent: Command | None) -> str | None:
    return None if parent is None else parent.correlation_id or str(parent.id)
