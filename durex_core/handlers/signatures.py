"""Signatures: which of a function's parameters is the context, which the payload and which the error."""

import inspect
from collections.abc import Callable
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from durex_core.errors import RegistrationError
from durex_core.facts import AttemptFacts
from durex_core.model import ErrorInfo
from durex_core.records import record

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Role = Literal["ctx", "payload", "error"]


@record
class Shape:
    """What functions of a kind may take, in this order; with `tells_errors`, one of them may be an error."""

    kind: str
    forms: str
    roles: tuple[Role, ...]
    tells_errors: bool = False


HANDLER = Shape("handlers", "(ctx, payload), (payload), (ctx) or nothing", ("ctx", "payload"))
ON_RECOVER = Shape(
    "on_recover hooks",
    "(ctx, payload, error), of which any may be left out",
    ("ctx", "payload", "error"),
    tells_errors=True,
)
ON_EXPIRED = Shape(
    "on_expired hooks", "(ctx, payload), (payload), (ctx) or nothing", ("ctx", "payload"), tells_errors=True
)


@record
class Signature:
    """How to call a function: what it takes, in order, and the type of its payload if that is annotated."""

    roles: tuple[Role, ...]
    payload_type: "TypeAdapter[Any] | None"
    is_async: bool


def read(where: str, function: Callable[..., Any], shape: Shape) -> Signature:
    """Read a function's signature; `where` begins the message of an error.

    Raises:
        RegistrationError: it cannot be called with what durex has for it.
    """
    names = _positional(where, function, shape)
    hints = _hints(where, function)
    roles = tuple(_role(name, hints, shape) for name in names)
    if [role for role in shape.roles if role in roles] != list(roles):
        raise RegistrationError(
            f"{where}: {shape.kind} take {shape.forms}, not {', '.join(names)}; gather several values in one model"
        )
    by_role = dict(zip(roles, names, strict=True))
    if "error" in by_role:
        _check_error(where, by_role["error"], hints)
    is_async = inspect.iscoroutinefunction(function)
    if "ctx" in by_role:
        _check_context(where, hints.get(by_role["ctx"]), is_async=is_async)
    return Signature(roles, _payload_type(where, by_role.get("payload"), hints), is_async)


def _positional(where: str, function: Callable[..., Any], shape: Shape) -> list[str]:
    if not inspect.isroutine(function):
        raise RegistrationError(f"{where}: {shape.kind} are functions; {function!r} is none")
    found = inspect.signature(function).parameters.values()
    for parameter in found:
        _check_kind(where, parameter, shape)
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _check_kind(where: str, parameter: inspect.Parameter, shape: Shape) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise RegistrationError(
            f"{where}: {parameter} hides what the function takes; {shape.kind} take {shape.forms}"
            " (a decorator keeps its function's parameters visible with functools.wraps)"
        )
    if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
        raise RegistrationError(
            f"{where}: nobody would pass the keyword-only parameter {parameter.name!r}; give it a default"
        )


def _hints(where: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        # An annotation may be any text, and reading it may raise anything.
        raise RegistrationError(
            f"{where}: an annotation cannot be read at run time ({error});"
            " import the type outside `if TYPE_CHECKING`, and define payload types at module level"
        ) from error


def _role(parameter: str, hints: dict[str, Any], shape: Shape) -> Role:
    types = _types(hints[parameter]) if parameter in hints else []
    if _are_all(types, AttemptFacts) or (not types and parameter in {"ctx", "context"}):
        return "ctx"
    if shape.tells_errors and (_are_all(types, ErrorInfo) or parameter == "error"):
        return "error"
    return "payload"


def _types(annotation: Any) -> list[Any]:
    """Return what an annotation consists of: the members of a union, without None and without what is said of them."""
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [part for member in get_args(annotation) if member is not type(None) for part in _types(member)]
    return [annotation]


def _are_all(types: list[Any], wanted: type) -> bool:
    return bool(types) and all(isinstance(one, type) and issubclass(one, wanted) for one in types)


def _check_context(where: str, annotation: Any, *, is_async: bool) -> None:
    """Refuse the context of the other kind, which has to be awaited where this one blocks."""
    kinds = {getattr(kind, "is_for_coroutines", None) for kind in _types(annotation)}
    if kinds.isdisjoint({None, is_async}):
        raise RegistrationError(
            f"{where}: coroutine functions are given an AsyncContext, and others a Context; annotate it so"
        )


def _check_error(where: str, parameter: str, hints: dict[str, Any]) -> None:
    annotation = hints.get(parameter, Any)
    if annotation not in (Any, object) and not _are_all(_types(annotation), ErrorInfo):
        raise RegistrationError(
            f"{where}: {parameter!r} is given a durex_core.model.ErrorInfo, not {annotation!r}; annotate it so,"
            " or give a payload another name"
        )


def _payload_type(where: str, parameter: str | None, hints: dict[str, Any]) -> "TypeAdapter[Any] | None":
    if parameter is None or hints.get(parameter, Any) in (Any, object):
        return None
    from pydantic import TypeAdapter  # noqa: PLC0415  slow to import, and handlers without a payload do without

    try:
        return TypeAdapter(hints[parameter])
    except Exception as error:
        raise RegistrationError(
            f"{where}: pydantic cannot read the payload type {hints[parameter]!r}: {error}"
        ) from error
