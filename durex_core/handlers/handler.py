"""Handlers and hooks: the functions behind a command, and how to call them."""

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import TYPE_CHECKING, Any

from durex_core import strict_json
from durex_core.errors import InvalidPayload
from durex_core.facts import AttemptFacts
from durex_core.handlers import payloads
from durex_core.handlers.options import Options
from durex_core.handlers.payloads import Upcast
from durex_core.handlers.signatures import Role
from durex_core.model import ErrorInfo
from durex_core.records import record
from durex_core.spec import CommandOptions, Spec

if TYPE_CHECKING:
    from pydantic import TypeAdapter

NOTHING = b"null"
"""The JSON text of no payload."""

ErrorTypes = tuple[type[BaseException], ...]


class HandlerOptions(CommandOptions, total=False):
    """What may be said of a command where its handler is registered, beside the defaults of its specs.

    Attributes:
        queue: the queue of its commands (default: one of its own, named like the command).
        upcast: makes the payload of today from a stored one that no longer fits the type of the handler, or of a hook.
        never_retry: exceptions that fail a command for good, whatever retries are left; they add to the app's.
        on_recover: called when a command has failed for good; what it returns is stored as a handler's would be.
        on_expired: the same for one that expired.
        permanent: whether one command of this name is always to be there.
    """

    queue: str | None
    upcast: Upcast | None
    never_retry: Iterable[type[BaseException]] | None
    on_recover: Callable[..., Any] | None
    on_expired: Callable[..., Any] | None
    permanent: bool | None


@record
class Hook:
    """A function that is called when a command ends other than well, and how to call it."""

    function: Callable[..., Any]
    is_async: bool
    roles: tuple[Role, ...]
    payload_type: "TypeAdapter[Any] | None"
    upcast: Upcast | None = None

    def arguments(self, context: AttemptFacts, payload: Any, error: ErrorInfo | None) -> list[Any]:
        """Return the hook's arguments, from the payload as it is stored.

        Raises:
            InvalidPayload: the payload does not fit what the hook's own annotation asks for.
        """
        return [self._argument(role, context, payload, error) for role in self.roles]

    def _argument(self, role: Role, context: AttemptFacts, payload: Any, error: ErrorInfo | None) -> Any:
        match role:
            case "ctx":
                return context
            case "error":
                return error
            case "payload" if self.payload_type is not None:
                return payloads.read(self.payload_type, strict_json.encode(payload), self.upcast)
            case "payload":
                return payload


@record
class Handler:
    """A registered function, how to call it, and what holds for its commands.

    `defaults` are the options of its specs, the app's among them; `options` are those that are set, as `merge` reads
    them, and `stored` are the same, as they are stored with a command whose spec sets none.
    """

    name: str
    queue: str
    function: Callable[..., Any]
    defaults: Spec
    is_async: bool
    takes_context: bool
    takes_payload: bool
    payload_type: "TypeAdapter[Any] | None"
    options: Options = field(default_factory=dict, repr=False)
    stored: Options = field(default_factory=dict, repr=False)
    default_payload: Any = None
    upcast: Upcast | None = None
    never_retry: ErrorTypes = ()
    on_recover: Hook | None = None
    on_expired: Hook | None = None
    is_permanent: bool = False

    @property
    def takes_anything(self) -> bool:
        """Whether it takes any payload, as it comes."""
        return self.takes_payload and self.payload_type is None and self.default_payload is None

    def check(self, payload: Any) -> None:
        """Refuse a plain JSON payload that the handler could not take.

        Raises:
            InvalidPayload: it does not fit; every fault is named by its field.
        """
        self.check_text(strict_json.encode(payload).encode())

    def check_text(self, text: bytes) -> None:
        """Do what `check` does, with a payload's JSON text."""
        if not self.takes_payload and text != NOTHING:
            raise InvalidPayload("payload", f"command {self.name!r} takes no payload")
        if self.payload_type is not None:
            payloads.read(self.payload_type, text, self.upcast)

    def decode(self, payload: Any) -> Any:
        """Turn a plain JSON payload into what the handler's annotation asks for."""
        if self.payload_type is None:
            return payload
        return payloads.read(self.payload_type, strict_json.encode(payload), self.upcast)

    def arguments(self, context: AttemptFacts, payload: Any) -> list[Any]:
        """Return the handler's arguments, from a decoded payload."""
        if self.takes_context:
            return [context, payload] if self.takes_payload else [context]
        return [payload] if self.takes_payload else []
