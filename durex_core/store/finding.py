"""Listings: the one place that composes SQL, from the fragments of this module; values travel as parameters.

Live and finished commands are each read by an index of their own and in order, and only where there is something to
find: a listing of finished commands alone never looks at the live ones.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from durex_core.model import State
from durex_core.queries import Order, Page, Query, path_of
from durex_core.records import record
from durex_core.store import answers, cursors
from durex_core.store.cursors import Place
from durex_core.store.database import Connection
from durex_core.store.statements import Dialect

_SHARED = (
    "id, name, queue, state, priority, ready_at, attempt, retries, run, lease_number, started_at, created_at,"
    " timeout_seconds, dead_letter, parent_id, worker, correlation_id, unique_key, idempotency_key, payload, backoff,"
    " tags, history, deadline_at, expires_at, extras, progress, join_id, awaits, children"
)
_LIVE_COLUMNS: Mapping[Dialect, str] = {
    "postgres": f"{_SHARED}, lease_expires_at, ending, compensations, NULL::timestamptz AS finished_at,"
    " NULL::json AS result, NULL::jsonb AS error, NULL::json AS recovery",
    "sqlite": f"{_SHARED}, lease_expires_at, ending, compensations, NULL AS finished_at, NULL AS result,"
    " NULL AS error, NULL AS recovery",
}
_FINISHED_COLUMNS: Mapping[Dialect, str] = {
    "postgres": f"{_SHARED}, NULL::timestamptz AS lease_expires_at, NULL::text AS ending, NULL::json AS compensations,"
    " finished_at, result, error, recovery",
    "sqlite": f"{_SHARED}, NULL AS lease_expires_at, NULL AS ending, NULL AS compensations, finished_at,"
    " result, error, recovery",
}
_TABLES: Mapping[Dialect, tuple[str, str]] = {
    "postgres": ("durex.commands", "durex.finished_commands"),
    "sqlite": ("commands", "finished_commands"),
}

# What Postgres gets as text with commas, which no name has in it: the planner knows what it will find, unlike in JSON.
_LISTS = frozenset({"states", "names", "queues"})
_FRAGMENTS: Mapping[Dialect, Mapping[str, str]] = {
    "postgres": {
        "states": "state = ANY (string_to_array(:states, ','))",
        "names": "name = ANY (string_to_array(:names, ','))",
        "queues": "queue = ANY (string_to_array(:queues, ','))",
        "tags": "tags @> :tags AND tags <> '[]'",
        "parent_id": "parent_id = :parent_id",
        "correlation_id": "correlation_id = :correlation_id",
        "unique_key": "unique_key = :unique_key",
        "created_after": "created_at >= :created_after",
        "created_before": "created_at < :created_before",
        # Whatever finished was created before; a day is more than two servers' clocks ever differ by.
        "finished_after": "finished_at >= :created_after - interval '1 day'",
        "payload": "NOT EXISTS (SELECT FROM jsonb_array_elements(:payload) AS wanted"
        " WHERE (payload #> ARRAY(SELECT jsonb_array_elements_text(wanted -> 'path')))::jsonb"
        " IS DISTINCT FROM wanted -> 'value')",
        "completed": "retention = 'completed'",
        "attention": "retention = 'attention'",
    },
    "sqlite": {
        "states": "state IN (SELECT value FROM json_each(:states))",
        "names": "name IN (SELECT value FROM json_each(:names))",
        "queues": "queue IN (SELECT value FROM json_each(:queues))",
        "tags": "NOT EXISTS (SELECT 1 FROM json_each(:tags) AS wanted"
        " WHERE wanted.value NOT IN (SELECT value FROM json_each(tags)))",
        "parent_id": "parent_id = :parent_id",
        "correlation_id": "correlation_id = :correlation_id",
        "unique_key": "unique_key = :unique_key",
        "created_after": "created_at >= :created_after",
        "created_before": "created_at < :created_before",
        "finished_after": "finished_at >= :created_after - 86400000000",
        "payload": "holds(payload, :payload)",
        "completed": "retention = 'completed'",
        "attention": "retention = 'attention'",
    },
}


@record
class _Part:
    """One of the two tables: which of its rows and columns are wanted."""

    table: str
    columns: str
    conditions: tuple[str, ...]


def find(connection: Connection, query: Query) -> Page:
    """Return the page of commands that a checked query asks for.

    Raises:
        InvalidQuery: its cursor belongs to another listing, or is none.
    """
    place = cursors.decode(query)
    dialect = connection.dialect
    parts = list(_parts(dialect, query))
    found = connection.select(
        _listing(query, parts, place),
        make=answers.as_command,
        **_parameters(dialect, query, place),
        limit=query.limit + 1,
    )
    commands = tuple(found[: query.limit])
    return Page(commands, cursors.encode(query, commands[-1]) if len(found) > query.limit else None)


def lock_live(connection: Connection, query: Query, *, after: UUID | None, limit: int) -> list[UUID]:
    """Lock the first live commands that a checked query asks for, in the order of their ids after a given one."""
    dialect = connection.dialect
    place = Place(after, 0) if after else None
    conditions = [_FRAGMENTS[dialect][name] for name in _named(query)] + ["id > :place_id"] * bool(place)
    text = f"SELECT id FROM {_TABLES[dialect][0]} {_where(conditions)} ORDER BY id LIMIT :limit"  # noqa: S608  ours
    locking = " FOR UPDATE" if dialect == "postgres" else ""
    found = connection.select(text + locking, **_parameters(dialect, query, place), limit=limit)
    return [row["id"] for row in found]


def _parts(dialect: Dialect, query: Query) -> Iterator[_Part]:
    """Yield the tables in which there may be something to find."""
    states = set(query.states or State)
    live, finished = _TABLES[dialect]
    conditions = tuple(_FRAGMENTS[dialect][name] for name in _named(query))
    if query.order_by is not Order.FINISHED_AT and not all(state.is_terminal for state in states):
        yield _Part(live, _LIVE_COLUMNS[dialect], conditions)
    classes = {state.retention for state in states if state.is_terminal}
    if classes:
        # SQLite has its one index by class and age, which is of use for that order alone.
        is_of_use = dialect == "postgres" or query.order_by is Order.FINISHED_AT
        more = [retention.value for retention in classes] if len(classes) == 1 and is_of_use else []
        more += ["finished_after"] * (query.created_after is not None)
        own = tuple(_FRAGMENTS[dialect][name] for name in more)
        yield _Part(finished, _FINISHED_COLUMNS[dialect], conditions + own)


def _named(query: Query) -> list[str]:
    """Return the names of the fragments that narrow a query."""
    return [name for name in _FRAGMENTS["postgres"] if getattr(query, name, None) is not None]


def _listing(query: Query, parts: list[_Part], place: Place | None) -> str:
    direction = " DESC" if query.descending else ""
    keys = ["id", "run"] if query.order_by is Order.CREATED_AT else [query.order_by.value, "id", "run"]
    end = f"ORDER BY {', '.join(key + direction for key in keys)} LIMIT :limit"
    beyond = [_beyond(keys, "<" if query.descending else ">")] * bool(place)
    selects = [
        f"SELECT {part.columns} FROM {part.table} {_where([*part.conditions, *beyond])} {end}"  # noqa: S608  ours
        for part in parts
    ]
    if len(selects) == 1:
        return selects[0]
    return f"SELECT * FROM ({selects[0]}) AS live UNION ALL SELECT * FROM ({selects[1]}) AS finished {end}"  # noqa: S608


def _beyond(keys: list[str], sign: str) -> str:
    """Return the condition that a row stands after the place of the cursor."""
    places = [f":place_{key}" if key in ("id", "run") else ":place_value" for key in keys]
    return f"({', '.join(keys)}) {sign} ({', '.join(places)})"


def _where(conditions: list[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _parameters(dialect: Dialect, query: Query, place: Place | None) -> dict[str, Any]:
    """Return the values that a query's fragments name, and those of its place."""
    given = {name: getattr(query, name) for name in _named(query)}
    if dialect == "postgres":
        given |= {name: ",".join(value) for name, value in given.items() if name in _LISTS}
    if query.payload is not None:
        given["payload"] = [{"path": path_of(dotted), "value": value} for dotted, value in query.payload.items()]
    if place is not None:
        given |= {"place_id": place.id, "place_run": place.run, "place_value": place.value}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
