"""Registration: from a function, or an object with a method `execute`, to a handler that is fit to run."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any, cast

from durex_core.errors import InvalidSpec, RegistrationError
from durex_core.handlers import options, payloads, signatures
from durex_core.handlers.handler import ErrorTypes, Handler, HandlerOptions, Hook
from durex_core.handlers.options import Options
from durex_core.handlers.payloads import Upcast
from durex_core.handlers.signatures import Shape, Signature
from durex_core.spec import CommandOptions, Spec

_OF_SPECS = CommandOptions.__optional_keys__
_OF_HANDLERS = (HandlerOptions.__optional_keys__ | {"payload"}) - _OF_SPECS


def build(
    name: str, target: Any, given: Mapping[str, Any], *, app: Options, never_retry: ErrorTypes, max_bytes: int
) -> Handler:
    """Make a handler of a function, a class or an object; `app` and `never_retry` are what the application says.

    Raises:
        RegistrationError: the name or an option was refused, or the target cannot be called.
    """
    where = f"command {name!r}"
    _check_name(where, "name", name)
    function, own = _source(where, target)
    signature = signatures.read(where, function, signatures.HANDLER)
    merged = _merged(where, [app, _of_specs(where, own), _of_specs(where, given)])
    chosen = _of_handler(own) | _of_handler(given)
    upcast = _upcast(where, chosen.get("upcast"), signature)
    handler = Handler(
        name=name,
        queue=_check_name(where, "queue", chosen.get("queue", name)),
        function=function,
        defaults=Spec(name, None, **merged),
        is_async=signature.is_async,
        takes_context="ctx" in signature.roles,
        takes_payload="payload" in signature.roles,
        payload_type=signature.payload_type,
        options=merged,
        stored=options.for_store(merged),
        default_payload=_default_payload(where, chosen.get("payload"), signature, max_bytes),
        upcast=upcast,
        never_retry=(*never_retry, *error_types(where, chosen.get("never_retry", ()))),
        on_recover=hook(where, "on_recover", chosen.get("on_recover"), upcast),
        on_expired=hook(where, "on_expired", chosen.get("on_expired"), upcast),
        is_permanent=_is_permanent(where, chosen.get("permanent", False)),
    )
    if handler.is_permanent:
        _check_alone(where, handler)
    return handler


def name_of(target: Any) -> str:
    """Return the name that an object or a class gives itself.

    Raises:
        RegistrationError: it gives none.
    """
    name = getattr(target, "name", None)
    if not isinstance(name, str):
        raise RegistrationError(f"{target!r} has no name: give it an attribute `name`, or register it with name=…")
    return name


def app_options(given: Mapping[str, Any]) -> Options:
    """Check the options that an application gives to all of its commands.

    Raises:
        RegistrationError: an option is out of its bounds, or is none that all commands may share.
    """
    where = "Durex: defaults"
    for option in given:
        if option in _OF_HANDLERS:
            raise RegistrationError(
                f"{where}: {option}: is an option of one command alone; say it where you register it"
            )
    return _merged(where, [{}, _of_specs(where, given)])


def error_types(where: str, given: Iterable[type[BaseException]]) -> ErrorTypes:
    """Return exceptions that are never retried.

    Raises:
        RegistrationError: one of them is no class of exceptions.
    """
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise RegistrationError(f"{where}: never_retry: {given!r} is no tuple; write ({given!r},)")
    types = tuple(given)
    for one in types:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise RegistrationError(f"{where}: never_retry: {one!r} is no exception class")
    return types


def hook(where: str, kind: str, function: Callable[..., Any] | None, upcast: Upcast | None) -> Hook | None:
    """Make a hook of a function, if there is one; `kind` is `on_recover` or `on_expired`.

    Raises:
        RegistrationError: the function cannot be called with what there is for it.
    """
    if function is None:
        return None
    signature = signatures.read(f"{where}: {kind}", function, _HOOKS[kind])
    return Hook(function, signature.is_async, signature.roles, signature.payload_type, upcast)


_HOOKS: dict[str, Shape] = {"on_recover": signatures.ON_RECOVER, "on_expired": signatures.ON_EXPIRED}


def _check_name(where: str, what: str, name: str) -> str:
    try:
        options.check(Spec(name))
    except InvalidSpec as error:
        raise RegistrationError(f"{where}: {what}: {error.reason}") from None
    return name


def _source(where: str, target: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function behind a target, and the options that it brings along."""
    if inspect.isroutine(target):
        return target, {}
    if not inspect.isroutine(getattr(target, "execute", None)):
        raise RegistrationError(f"{where}: {target!r} is neither a function nor has it a method `execute`")
    instance = _instance(where, target) if isinstance(target, type) else target
    return instance.execute, _own_options(where, instance)


def _instance(where: str, target: type) -> Any:
    try:
        return target()
    except Exception as error:
        made = target.__qualname__
        raise RegistrationError(
            f"{where}: {made}() raised {type(error).__name__}: {error}; to give it arguments, leave the decorator out"
            f" and call app.register({made}(…), name=…)"
        ) from error


def _own_options(where: str, instance: Any) -> dict[str, Any]:
    defaults = getattr(instance, "defaults", None) or {}
    if not isinstance(defaults, Mapping):
        raise RegistrationError(f"{where}: defaults: {defaults!r} is no mapping of options, such as {{'retries': 3}}")
    hooks = {"on_recover": getattr(instance, "recover", None), "on_expired": getattr(instance, "expired", None)}
    return dict(defaults) | {kind: function for kind, function in hooks.items() if function is not None}


def _of_handler(given: Mapping[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in given.items() if option in _OF_HANDLERS and value is not None}


def _of_specs(where: str, given: Mapping[str, Any]) -> Options:
    """Check the options that a spec may have too, in the same way as a spec's."""
    for option in given:
        if option not in _OF_SPECS | _OF_HANDLERS:
            raise RegistrationError(f"{where}: {option}: is no option of a command; see Durex.command")
    chosen = cast("CommandOptions", {option: value for option, value in given.items() if option in _OF_SPECS})
    try:
        return options.given(options.check(options.make_spec("defaults", None, chosen)))
    except InvalidSpec as error:
        raise RegistrationError(f"{where}: {error}") from None


def _merged(where: str, layers: Iterable[Options]) -> Options:
    merged = reduce(options.merge, layers)
    try:
        options.check_metadata(merged)
    except InvalidSpec as error:
        raise RegistrationError(f"{where}: {error}") from None
    return merged


def _upcast(where: str, upcast: Any, signature: Signature) -> Upcast | None:
    if upcast is None:
        return None
    if not callable(upcast) or inspect.iscoroutinefunction(upcast):
        raise RegistrationError(f"{where}: upcast: {upcast!r} is no plain function that takes a payload")
    if signature.payload_type is None:
        raise RegistrationError(
            f"{where}: upcast: would never be called, as any payload fits; annotate the handler's payload"
        )
    return cast("Upcast", upcast)


def _default_payload(where: str, payload: Any, signature: Signature, max_bytes: int) -> Any:
    if payload is None:
        return None
    if "payload" not in signature.roles:
        raise RegistrationError(f"{where}: payload: the handler takes none; leave the option out")
    try:
        plain = payloads.plain(payload)
        payloads.encode(plain, max_bytes)
    except InvalidSpec as error:
        raise RegistrationError(f"{where}: {error}") from None
    return plain


def _is_permanent(where: str, permanent: Any) -> bool:
    if not isinstance(permanent, bool):
        raise RegistrationError(f"{where}: permanent: {permanent!r} is neither True nor False")
    return permanent


def _check_alone(where: str, handler: Handler) -> None:
    """Refuse a permanent command that durex could not enqueue by itself."""
    try:
        handler.check(handler.default_payload)
    except InvalidSpec as error:
        raise RegistrationError(
            f"{where}: permanent: it is enqueued without a payload, and then: {error}; give it one with payload=…"
        ) from None
