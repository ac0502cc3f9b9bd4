"""Payloads: from any value to plain JSON that both databases hold, and from there to what a handler asks for."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from durex_core import strict_json
from durex_core.errors import InvalidPayload, PayloadTooLarge

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_NESTING = 200
"""How deep a payload or a result may be nested: what pydantic's JSON parser takes."""

Upcast = Callable[[Any], Any]

_HINTS = {"timezone_aware": ", such as datetime(2026, 1, 31, tzinfo=UTC)"}


def plain(payload: Any) -> Any:
    """Return a payload as plain JSON values.

    Raises:
        InvalidPayload: some part has no JSON form.
    """
    try:
        return strict_json.plain(payload)
    except strict_json.NotPlainJson as error:
        raise _refused(error) from None


def prepared(payload: Any, default: Any, max_bytes: int) -> tuple[Any, bytes]:
    """Return a payload as plain JSON values, completed by a default, and their text.

    Raises:
        InvalidPayload: some part has no JSON form that every database and handler can hold.
        PayloadTooLarge: its JSON is over the limit.
    """
    try:
        value = strict_json.plain(payload)
        if default is not None:
            value = filled(value, default)
        text = strict_json.encode(value).encode()
    except strict_json.NotPlainJson as error:
        raise _refused(error) from None
    _check_size(text, max_bytes)
    return value, text


def all_prepared(payloads: Iterable[Any], max_bytes: int) -> list[bytes]:
    """Return the JSON texts of many payloads, which need no completion by a default, in one pass.

    Raises:
        InvalidPayload: one of them is refused by `prepared`, too, which says why.
    """
    try:
        texts = strict_json.encode_all(payloads)
    except strict_json.NotPlainJson as error:
        raise _refused(error) from None
    if max(map(len, texts), default=0) > min(MAX_NESTING, max_bytes):
        for text in texts:
            _check_size(text, max_bytes)
    return texts


def encode(payload: Any, max_bytes: int) -> str:
    """Return the JSON text of plain values that every database and handler can hold.

    Raises:
        InvalidPayload: some part is text or a number that JSON has no place for, or it is nested too deeply.
        PayloadTooLarge: its JSON is over the limit.
    """
    try:
        text = strict_json.encode(payload)
    except strict_json.NotPlainJson as error:
        raise _refused(error) from None
    _check_size(text.encode(), max_bytes)
    return text


def filled(payload: Any, default: Any) -> Any:
    """Complete a payload: two objects are merged, and no payload is the default."""
    if payload is None:
        return default
    if isinstance(payload, dict) and isinstance(default, dict):
        return default | payload
    return payload


def read(payload_type: "TypeAdapter[Any]", text: str | bytes, upcast: Upcast | None = None) -> Any:
    """Turn JSON text into a type; `upcast` may bring a payload of an older form into the form of today.

    Raises:
        InvalidPayload: they do not fit; every fault is named by its field.
    """
    try:
        return payload_type.validate_json(text)
    except ValidationError as error:
        field, reason = faults(error, "payload")
    if upcast is None:
        raise InvalidPayload(field, reason)
    return _read_upcast(payload_type, text, upcast, InvalidPayload(field, reason))


def faults(error: ValidationError, root: str) -> tuple[str, str]:
    """Return the first fault's field and all reasons of a validation error."""
    found = [(_path(root, fault["loc"]), _reason(fault)) for fault in error.errors(include_url=False)]
    field, reason = found[0]
    more = "".join(f"; {other}: {why}" for other, why in found[1:4])
    return field, f"{reason}{more}"


def _read_upcast(payload_type: "TypeAdapter[Any]", text: str | bytes, upcast: Upcast, before: InvalidPayload) -> Any:
    try:
        upcasted = strict_json.encode(strict_json.plain(upcast(from_json(text))))
        return payload_type.validate_json(upcasted)
    except ValidationError as error:
        field, reason = faults(error, "payload")
        after, cause = f"what the upcast made of it does not fit either: {field}: {reason}", None
    except Exception as error:  # noqa: BLE001  an upcast is the application's own code
        after, cause = f"the upcast failed on it: {type(error).__name__}: {error}", error
    raise InvalidPayload(before.field, f"{before.reason}; {after}") from cause


def _check_size(text: bytes, max_bytes: int) -> None:
    size = len(text)
    if size > max_bytes:
        raise PayloadTooLarge(size, max_bytes)
    if size > MAX_NESTING and text.count(b"[") + text.count(b"{") > MAX_NESTING:
        _check_nesting(text)


def _check_nesting(text: bytes) -> None:
    try:
        from_json(text)
    except ValueError:
        raise InvalidPayload("payload", f"is nested more than {MAX_NESTING} levels deep; flatten it") from None


def _refused(error: strict_json.NotPlainJson) -> InvalidPayload:
    path = f"payload.{error.path}" if error.path and error.path[0] != "[" else f"payload{error.path}"
    return InvalidPayload(path, error.reason)


def _reason(fault: ErrorDetails) -> str:
    return fault["msg"] + _HINTS.get(fault["type"], "")


def _path(root: str, location: tuple[int | str, ...]) -> str:
    path = root
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
