"""JSON that both stores can hold: no NaN, no infinity, no NUL, no lone surrogate, text keys only.

Postgres refuses such values inside `jsonb`, SQLite would take them; durex refuses them at the edge, on both, with the
path of the offending part.
"""

import json
import json.encoder
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic_core import PydanticSerializationError, SchemaSerializer, from_json, to_jsonable_python


class NotPlainJson(ValueError):
    """A value has no plain JSON form; `path` leads to the part that has none."""

    def __init__(self, path: str, reason: str) -> None:
        """Keep the path, such as `items[2].note` (empty for the value itself), and the reason."""
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def encode(value: Any) -> str:
    """Return the value's JSON text.

    Raises:
        NotPlainJson: a part of the value cannot be held as JSON by both stores.
    """
    try:
        text = "".join(_chunks(value, 0))
        text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise _explain(value, error) from None
    if "\\u0000" in text:
        _refuse_nul(value)
    return text


def plain(value: Any) -> Any:
    """Turn models, dataclasses, dates and the like into plain JSON values.

    Raises:
        NotPlainJson: some part has no JSON form.
    """
    try:
        return to_jsonable_python(value, by_alias=True, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise _explain_conversion(value, error) from None


def encode_all(values: Iterable[Any]) -> list[bytes]:
    """Return the JSON texts of many values: of each what `encode` makes of what `plain` makes of it, in one pass.

    Floats may be written in other letters; they are read as the same.

    Raises:
        NotPlainJson: some part of one of them cannot be held; the path may be missing.
    """
    try:
        texts = [_write(value, by_alias=True) for value in values]
        if _is_suspicious(b"".join(texts)):
            for text in filter(_is_suspicious, texts):
                encode(from_json(text))
    except NotPlainJson:
        raise
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NotPlainJson("", f"has no JSON form: {error}") from None
    return texts


def clean_text(text: str) -> str:
    """Return the text with whatever no store can hold (NUL, lone surrogates) replaced, for errors and tracebacks."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _writer() -> Callable[[Any, int], Iterable[str]]:
    """Return what writes JSON. `json` makes its encoder anew for each value, which takes longer than most values do."""
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _: encoder.iterencode(value)
    # Without the search for circles, which shares a dict between threads: what refers to itself is nested too deeply.
    write: Callable[[Any, int], Iterable[str]] = make(
        markers=None,
        default=encoder.default,
        encoder=json.encoder.encode_basestring,
        indent=None,
        key_separator=encoder.key_separator,
        item_separator=encoder.item_separator,
        sort_keys=False,
        skipkeys=False,
        allow_nan=False,
    )
    return write


_chunks = _writer()
_has_long_number = re.compile(rb"[0-9]{4300}").search  # which Python does not read
_write = SchemaSerializer({"type": "any"}, {"ser_json_inf_nan": "constants"}).to_json


def _is_suspicious(text: bytes) -> bool:
    """Whether JSON text, or some of it that was joined, may hold what the stores cannot."""
    return b"\\u0000" in text or b"NaN" in text or b"Infinity" in text or _has_long_number(text) is not None


def _explain(value: Any, error: Exception) -> NotPlainJson:
    if _is_endless(error):
        return NotPlainJson("", "is nested too deeply or refers to itself")
    for path, leaf in _leaves(value):
        reason = _fault(leaf)
        if reason:
            return NotPlainJson(path, reason)
    return NotPlainJson("", str(error))


def _explain_conversion(value: Any, error: Exception) -> NotPlainJson:
    if _is_endless(error):
        return NotPlainJson("", "is nested too deeply or refers to itself")
    for path, leaf in _leaves(value):
        reason = _fault(leaf) if isinstance(leaf, str) else _refusal(leaf)
        if reason:
            return NotPlainJson(path, reason)
    return NotPlainJson("", f"has no JSON form: {error}")


def _is_endless(error: Exception) -> bool:
    return isinstance(error, RecursionError) or "Circular" in str(error) or "depth exceeded" in str(error)


def _refusal(leaf: Any) -> str | None:
    """Say why a leaf cannot be turned into plain JSON, or None if it can."""
    try:
        to_jsonable_python(leaf, by_alias=True, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        return f"has no JSON form: {error}"
    return None


def _refuse_nul(value: Any) -> None:
    for path, leaf in _leaves(value):
        if isinstance(leaf, str) and "\0" in leaf:
            raise NotPlainJson(path, "holds the NUL character, which Postgres cannot store; remove it")


def _fault(leaf: Any) -> str | None:
    """Say why a leaf is not plain JSON, or None if it is."""
    if isinstance(leaf, float) and not math.isfinite(leaf):
        return f"is {leaf}, which JSON cannot hold; use null or text"
    if isinstance(leaf, str) and not _is_unicode(leaf):
        return "holds a lone surrogate, which is not valid Unicode; decode the text properly"
    if leaf is None or isinstance(leaf, str | int | float):
        return None
    return f"is a {type(leaf).__name__}, which has no JSON form"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk to every key and scalar, with its path."""
    match value:
        case dict():
            for key, item in value.items():
                inner = f"{path}.{key!s}" if path else str(key)
                yield inner.encode("utf-8", "replace").decode().replace("\0", "\\0"), key
                yield from _leaves(item, inner)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _leaves(item, f"{path}[{index}]")
        case _:
            yield path, value
