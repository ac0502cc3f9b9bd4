"""What can be asked about stored commands, and what is answered: queries and pages, and statistics.

A query is checked when it is used, not when it is made.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypedDict, TypeVar
from uuid import UUID

from pydantic import ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import no_info_before_validator_function

from durex_core import strict_json
from durex_core.errors import InvalidQuery
from durex_core.fields import AwareDatetime, Field, adapter
from durex_core.model import Command, State
from durex_core.records import record
from durex_core.spec import MAX_DELAY, Key, Name, Tag

MAX_LIMIT = 500
DEFAULT_LIMIT = 50
DAY = timedelta(days=1)

T = TypeVar("T")

_MAX_VALUES = 100
_MAX_PATH = 20
_INDEX = re.compile(r"[0-9]+")
_ODD_INDEX = re.compile(r"\s*[+-]?[0-9]+")
_SINGULAR = {"state": "states", "name": "names", "queue": "queues", "tag": "tags"}
_HINTS = {"timezone_aware": ", such as datetime(2026, 1, 31, tzinfo=UTC)"}


class _OrOne:
    """Takes one text for a list of one."""

    def __get_pydantic_core_schema__(self, annotated: Any, schema_of: Any) -> Any:
        return no_info_before_validator_function(_as_list, schema_of(annotated))


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Several = Annotated[tuple[T, ...], _OrOne(), Field(min_length=1, max_length=_MAX_VALUES)]


class Order(StrEnum):
    """What a listing is ordered by; commands that are equal in it are ordered by creation."""

    CREATED_AT = "created_at"
    READY_AT = "ready_at"
    FINISHED_AT = "finished_at"
    PRIORITY = "priority"


@record(kw_only=True)
class Query:
    """Which commands to list, in which order, and how many at a time.

    What is left at None does not narrow the listing. A command that repeats is listed once for each of its runs.

    Attributes:
        states: in one of these; those of live commands, of finished ones, or of both.
        names: of one of these names.
        queues: in one of these queues.
        tags: with all of these tags.
        parent_id: enqueued by this command.
        correlation_id: belonging to this piece of business.
        unique_key: enqueued with this unique key, which at most one live command holds.
        created_after: created at this moment or later.
        created_before: created before this moment.
        payload: values inside the payload by their dotted paths, such as `{"order.id": "42", "lines.0.amount": 3}`.
            No index helps to find them: narrow the listing in another way, too.
        order_by: what the listing is ordered by. Only finished commands have a `finished_at`: ordered by it, others
            are left out.
        descending: the greatest first.
        limit: the most commands of a page, 1 to 500.
        cursor: where the page begins: the `next_cursor` of the page before.
    """

    __pydantic_config__ = ConfigDict(revalidate_instances="always")

    states: Several[State] | None = None
    names: Several[Name] | None = None
    queues: Several[Name] | None = None
    tags: Several[Tag] | None = None
    parent_id: UUID | None = None
    correlation_id: Key | None = None
    unique_key: Key | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    payload: Mapping[str, Any] | None = None
    order_by: Order = Order.CREATED_AT
    descending: Annotated[bool, Field(strict=True)] = True
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: str | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for less than all commands."""
        return any(getattr(self, name) is not None for name in _NARROWING)


_NARROWING = (
    *("states", "names", "queues", "tags", "parent_id", "correlation_id", "unique_key"),
    *("created_after", "created_before", "payload"),
)


class Filters(TypedDict, total=False):
    """What narrows a query, as keywords: see `Query`. A singular takes one value."""

    state: "State | str | None"
    states: "Iterable[State | str] | None"
    name: "str | None"
    names: "Iterable[str] | None"
    queue: "str | None"
    queues: "Iterable[str] | None"
    tag: "str | None"
    tags: "Iterable[str] | None"
    parent_id: "UUID | str | None"
    correlation_id: "str | None"
    unique_key: "str | None"
    created_after: "datetime | None"
    created_before: "datetime | None"
    payload: "Mapping[str, Any] | None"


class QueryOptions(Filters, total=False):
    """A query as keywords."""

    order_by: "Order | str"
    descending: bool
    limit: int
    cursor: "str | None"


@record
class Page:
    """Commands that were found, and where the next ones begin; without a `next_cursor` there are no more."""

    commands: tuple[Command, ...]
    next_cursor: str | None = None

    def __iter__(self) -> Iterator[Command]:
        """Yield the commands."""
        return iter(self.commands)


@record
class QueueStats:
    """How much of everything a queue has.

    Attributes:
        queue: its name.
        live: how many live commands are in each state; a state without any is left out.
        finished: how many commands finished lately, by state.
        ready: how many live commands could start now.
        oldest_ready_age: for how long the one of them that has waited longest has been ready, or None.
    """

    queue: str
    live: Mapping[State, int]
    finished: Mapping[State, int]
    ready: int = 0
    oldest_ready_age: timedelta | None = None


@record
class Stats:
    """How much of everything there is; `finished_within` is how far back finished commands were counted."""

    queues: tuple[QueueStats, ...]
    finished_within: timedelta

    @property
    def states(self) -> dict[State, int]:
        """How many commands are in each state, over all queues."""
        return {state: sum(q.live.get(state, 0) + q.finished.get(state, 0) for q in self.queues) for state in State}

    @property
    def ready(self) -> int:
        """How many commands could start now, over all queues."""
        return sum(queue.ready for queue in self.queues)


def make_query(options: Mapping[str, Any]) -> Query:
    """Build a checked query from keywords.

    Raises:
        InvalidQuery: one of them is unknown, or was refused.
    """
    for name in options:
        if name not in QueryOptions.__optional_keys__:
            raise InvalidQuery(name, f"is no filter; there are {', '.join(sorted(QueryOptions.__optional_keys__))}")
    return check(Query(**_in_plural(options)))


def check(query: Query) -> Query:
    """Return a query whose every part is valid.

    Raises:
        InvalidQuery: the first part that is not, and why.
    """
    try:
        checked: Query = adapter(Query).validate_python(query)
    except ValidationError as error:
        raise _refused(error.errors(include_url=False)[0]) from None
    if checked.payload is not None:
        _check_payload(checked.payload)
    if checked.order_by is Order.FINISHED_AT and not any(state.is_terminal for state in checked.states or State):
        raise InvalidQuery("order_by", "only finished commands have a finished_at; order these by something else")
    return checked


def check_finished_within(finished_within: timedelta) -> None:
    """Refuse a length of time over which finished commands cannot be counted.

    Raises:
        InvalidQuery: it is negative, or too long.
    """
    if not timedelta(0) <= finished_within <= MAX_DELAY:
        raise InvalidQuery("finished_within", f"must be at least zero and at most {MAX_DELAY}, not {finished_within}")


def path_of(dotted: str) -> list[str]:
    """Return the parts of a path into a payload.

    Raises:
        InvalidQuery: it leads nowhere.
    """
    parts = dotted.split(".")
    if len(parts) > _MAX_PATH:
        raise InvalidQuery("payload", f"the path {dotted!r} has {len(parts)} parts, the limit is {_MAX_PATH}")
    for part in parts:
        if not part:
            raise InvalidQuery("payload", f"the path {dotted!r} has an empty part; write it as 'order.lines.0.amount'")
        if _ODD_INDEX.fullmatch(part) and not _INDEX.fullmatch(part):
            raise InvalidQuery("payload", f"the path {dotted!r} has the list index {part!r}; count from 0, forwards")
    return parts


def _in_plural(options: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    for singular, plural in _SINGULAR.items():
        if singular in given and plural in given:
            raise InvalidQuery(singular, f"stands beside {plural}; give one of them")
        if singular in given:
            given[plural] = given.pop(singular)
    return given


def _refused(fault: ErrorDetails) -> InvalidQuery:
    first, *rest = fault["loc"]
    field = str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return InvalidQuery(field, f"{fault['msg']}{_HINTS.get(fault['type'], '')}, not {fault['input']!r}")


def _check_payload(payload: Mapping[str, Any]) -> None:
    if not 0 < len(payload) <= _MAX_VALUES:
        raise InvalidQuery("payload", f"names {len(payload)} values, 1 to {_MAX_VALUES} can be asked for")
    for dotted in payload:
        path_of(dotted)
    try:
        strict_json.encode(dict(payload))
    except strict_json.NotPlainJson as error:
        raise InvalidQuery("payload", str(error)) from None
