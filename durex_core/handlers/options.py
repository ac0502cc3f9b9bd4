"""The options of a command: checked, merged from app, handler and spec, and made ready for the store.

The later of the three wins, option by option. None means unset; zero, False and empty are values.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from pydantic import ValidationError

from durex_core import strict_json
from durex_core.backoff import Backoff
from durex_core.errors import InvalidSpec
from durex_core.fields import adapter
from durex_core.handlers.payloads import faults
from durex_core.model import Extras
from durex_core.spec import MAX_METADATA, MAX_NAME, NAME, CommandOptions, Spec, SpecOptions

MAX_METADATA_BYTES = 16 * 1024
YEARS = range(1970, 9000)

Options = dict[str, Any]
"""The options that are set, by name."""

_EXTRAS = frozenset({"deadline", "start_within", "period", "metadata", "sequence", "traceparent"})
_MOMENTS = ("run_at", "deadline_at")
_OPTIONS = ("delay", *_MOMENTS, "priority", "retries", "backoff", "timeout", "dead_letter", "tags", *_EXTRAS)
_values = attrgetter(*_OPTIONS)
_SETTABLE = tuple(field.name for field in fields(Spec) if field.name not in {"name", "payload"})
_settable = attrgetter(*_SETTABLE)
_named = attrgetter("name")
_UNSET = (None,) * len(_SETTABLE)
_is_name = re.compile(NAME).fullmatch


def make_spec(name: str, payload: Any, options: SpecOptions | CommandOptions) -> Spec:
    """Build a spec from keyword options.

    Raises:
        InvalidSpec: there is no option of that name.
    """
    if options and (unknown := sorted(set(options) - SpecOptions.__optional_keys__)):
        raise InvalidSpec(unknown[0], "is no option of a spec; see durex_core.Spec for the options")
    return Spec(name, payload, **options)


def is_bare(spec: Spec) -> bool:
    """Whether a spec is a name and a payload and nothing else, as most are: then no option of it needs a look."""
    return type(spec) is Spec and type(spec.name) is str and _settable(spec) == _UNSET


def are_bare(specs: Sequence[Spec]) -> bool:
    """Whether all of many specs are bare."""
    return (
        set(map(type, specs)) == {Spec}
        and set(map(type, map(_named, specs))) == {str}
        and all(map(_UNSET.__eq__, map(_settable, specs)))
    )


def check(spec: Spec) -> Spec:
    """Return a spec whose every part is within its bounds, and whose options do not contradict each other.

    Raises:
        InvalidSpec: the first fault by its field, and the reasons of the next ones.
    """
    if _is_plain(spec):
        return spec
    try:
        spec = adapter(Spec).validate_python(spec)
    except ValidationError as error:
        raise InvalidSpec(*faults(error, "")) from None
    if spec.run_at is not None or spec.deadline_at is not None:
        _check_moments(spec)
    if spec.traceparent is not None:
        _check_traceparent(spec.traceparent)
    return spec


def given(spec: Spec) -> Options:
    """Return the options that a checked spec sets.

    Raises:
        InvalidSpec: its metadata is not plain JSON.
    """
    options = {name: value for name, value in zip(_OPTIONS, _values(spec), strict=True) if value is not None}
    if "metadata" in options:
        options["metadata"] = _plain_metadata(options["metadata"])
    return options


def merge(lower: Options, upper: Options) -> Options:
    """Return the options of both, where those of `upper` win; metadata is merged key by key.

    A deadline in one form replaces one in the other form.
    """
    merged = lower | upper
    if "metadata" in lower and "metadata" in upper:
        merged["metadata"] = lower["metadata"] | upper["metadata"]
    if "deadline_at" in upper:
        merged.pop("deadline", None)
    elif "deadline" in upper:
        merged.pop("deadline_at", None)
    return merged


def check_metadata(options: Options) -> None:
    """Refuse more metadata than a command may carry.

    Raises:
        InvalidSpec: there are too many keys, or too many bytes of JSON.
    """
    metadata = options.get("metadata")
    if not metadata:
        return
    if len(metadata) > MAX_METADATA:
        raise InvalidSpec("metadata", f"has {len(metadata)} keys with the handler's, the limit is {MAX_METADATA}")
    size = len(strict_json.encode(metadata).encode())
    if size > MAX_METADATA_BYTES:
        raise InvalidSpec(
            "metadata", f"is {size:,} bytes of JSON, the limit is {MAX_METADATA_BYTES:,}; put the bulk into the payload"
        )


def for_store(options: Options, *, join_position: int | None = None, allow_failures: bool = False) -> Options:
    """Return merged options as a `NewCommand` takes them: what few commands have is gathered in its extras.

    A timeout, deadline or start_within of zero is none.
    """
    row = {name: value for name, value in options.items() if name not in _EXTRAS}
    extras = {name: value for name, value in options.items() if name in _EXTRAS and value}
    if extras or allow_failures or join_position is not None:
        row["extras"] = Extras(**extras, join_position=join_position, allow_failures=allow_failures)
    if not row.get("timeout", True):
        del row["timeout"]
    if "backoff" in row:
        row["backoff"] = adapter(Backoff).dump_python(row["backoff"], mode="json")
    for name in _MOMENTS:
        if name in row:
            row[name] = row[name].astimezone(UTC)
    return row


def _is_plain(spec: Spec) -> bool:
    """Whether a spec is a good name and a payload, and nothing else: there is no need of pydantic to see that."""
    return is_bare(spec) and len(spec.name) <= MAX_NAME and _is_name(spec.name) is not None


def _check_moments(spec: Spec) -> None:
    for name in _MOMENTS:
        _check_year(name, getattr(spec, name))
    if spec.run_at is not None and spec.delay is not None:
        raise InvalidSpec("run_at", f"cannot go with a delay ({spec.delay}); give one of the two")
    if spec.deadline_at is not None and spec.deadline:
        raise InvalidSpec("deadline_at", f"cannot go with a deadline ({spec.deadline}); give one of the two")
    if spec.run_at is not None and spec.deadline_at is not None and spec.run_at >= spec.deadline_at:
        raise InvalidSpec("run_at", f"{spec.run_at} is not before deadline_at, {spec.deadline_at}: it would never run")


def _check_year(name: str, moment: datetime | None) -> None:
    """Refuse a moment to which a deadline could not be added: databases know years that Python does not."""
    if moment is not None and moment.year not in YEARS:
        raise InvalidSpec(name, f"{moment} is too far away; give a moment of the years {YEARS[0]} to {YEARS[-1]}")


def _check_traceparent(traceparent: str) -> None:
    _, trace_id, span_id, _ = traceparent.split("-")
    for what, text in (("trace", trace_id), ("span", span_id)):
        if not text.strip("0"):
            raise InvalidSpec("traceparent", f"its {what} id is all zeros, which means none; leave traceparent out")


def _plain_metadata(metadata: dict[str, Any]) -> Any:
    try:
        plain = strict_json.plain(metadata)
        strict_json.encode(plain)
    except strict_json.NotPlainJson as error:
        raise InvalidSpec(f"metadata.{error.path}" if error.path else "metadata", error.reason) from None
    return plain
