"""What the stateful test of the store knows: what it sees of a command, and what may be asked of one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from factories import START, compensation, error_info, new_command, new_join
from hypothesis import strategies as st
from virtual_store import VirtualStore, schema_of

from durex_core.ids import uuid7
from durex_core.model import NO_EXTRAS, Command, Extras, NewCommand, State
from durex_core.rules.outcomes import Cancelled, Expired, Failed, HandlerMissing, Outcome, Released, Repeated, Returned
from durex_core.store.database import Connection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BACKOFF = {"kind": "constant", "delay": 10}
WAITS_FOR_ITS_MOMENT = {State.SCHEDULED, State.REPEATING}


@dataclass(frozen=True)
class Seen:
    """What the database says of a live command."""

    state: State
    run: int
    attempt: int
    retries: int
    lease_number: int
    lease_expires_at: datetime | None
    ready_at: datetime
    expires_at: datetime | None
    unique_key: str | None
    ending: str | None
    awaits: int
    children: Any

    def is_overdue(self, now: datetime) -> bool:
        """Whether a claim would hand it over for its ending, since its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    def is_due(self, now: datetime) -> bool:
        """Whether dispatch would promote it."""
        return self.state in WAITS_FOR_ITS_MOMENT and self.ready_at <= now

    def is_abandoned(self, now: datetime) -> bool:
        """Whether its lease is over."""
        return self.lease_expires_at is not None and self.lease_expires_at <= now

    def is_claimable(self, now: datetime) -> bool:
        """Whether a claim may take it."""
        if self.state is State.STARTED:
            return self.is_abandoned(now)
        return self.state is State.PENDING or self.is_due(now) or self.is_overdue(now)

    def next_attempt(self, now: datetime) -> int:
        """Return the number under which a claim takes it."""
        is_ending = self.ending is not None or self.is_overdue(now)
        return self.attempt if is_ending else min(self.attempt, self.retries) + 1

    def moments(self) -> Iterable[datetime]:
        """Yield the moments at which it becomes claimable by itself."""
        if self.state in WAITS_FOR_ITS_MOMENT:
            yield self.ready_at
        if self.lease_expires_at:
            yield self.lease_expires_at
        elif self.expires_at:
            yield self.expires_at


@dataclass
class Join:
    """A command that waits, and how each of those ended first that it waits for."""

    children: list[str]
    allow_failures: bool
    ended: dict[str, str] = field(default_factory=dict)
    completions: int = 0

    @property
    def left(self) -> set[str]:
        """The children that have not ended."""
        return set(self.children) - set(self.ended)


EXTRAS = [
    NO_EXTRAS,
    NO_EXTRAS,
    Extras(deadline=20 * SECOND),
    Extras(start_within=5 * SECOND),
    Extras(deadline=40 * SECOND, start_within=20 * SECOND, period=5 * SECOND),
]

specs = st.builds(
    dict,
    retries=st.integers(0, 2),
    delay=st.sampled_from([timedelta(0), timedelta(0), 10 * SECOND]),
    run_at=st.sampled_from([None, None, None, START - SECOND, START + 15 * SECOND]),
    deadline_at=st.sampled_from([None, None, None, START + 45 * SECOND]),
    dead_letter=st.booleans(),
    backoff=st.sampled_from([None, BACKOFF]),
    unique_key=st.sampled_from([None, None, "a", "b"]),
    idempotency_key=st.sampled_from([None, None, "a", "b"]),
    extras=st.sampled_from(EXTRAS),
)
batches = st.lists(specs, min_size=1, max_size=3)
joins = st.none() | st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from(EXTRAS[1:]))
ends = st.sampled_from(
    [
        *["returned"] * 6,
        "failed",
        "failed for good",
        "timed out",
        "retry later",
        "repeat",
        "repeat at once",
        "expired",
        "cancelled",
        "released",
        "handler missing",
        "hook failed",
        "hook failed",
    ]
)
reports = st.tuples(ends, st.lists(specs, max_size=2))

_OUTCOMES: dict[str, Outcome] = {
    "failed": Failed(error_info()),
    "failed for good": Failed(error_info(), retryable=False),
    "hook failed": Failed(error_info(), retryable=False),
    "timed out": Failed(error_info(), how="timed_out"),
    "retry later": Failed(error_info(), how="retrying", delay=15 * SECOND),
    "repeat": Repeated("so far"),
    "repeat at once": Repeated("so far", delay=timedelta(0), payload="next"),
    "expired": Expired(error_info()),
    "cancelled": Cancelled("not wanted"),
    "released": Released("stopping"),
    "handler missing": HandlerMissing(),
}


def outcome_of(end: str, children: Iterable[NewCommand] = ()) -> Outcome:
    """Return what an attempt comes to."""
    return Returned("done", tuple(children)) if end == "returned" else _OUTCOMES[end]


class Maker:
    """Makes commands that differ in id and priority, so that the same steps always lead to the same choices."""

    def __init__(self) -> None:
        """Count from one."""
        self._numbers = count(1)

    def commands(self, batch: Iterable[dict[str, Any]]) -> list[NewCommand]:
        """Make commands."""
        return [new_command(**self._own(), **spec) for spec in batch]

    def join(self, asked: tuple[int, bool, Extras] | None) -> list[NewCommand]:
        """Make a command that waits for so many others, and those; or nothing."""
        if asked is None:
            return []
        number, allow_failures, extras = asked
        waiting, *children = new_join(
            number, queue=new_command().queue, allow_failures=allow_failures, then=self._own() | {"extras": extras}
        )
        return [
            waiting,
            *(new_command(**self._own(), join_id=waiting.id, extras=child.extras) for child in children),
        ]

    def compensation(self) -> Any:
        """Make what undoes a step."""
        return compensation("step", queue=new_command().queue, **self._own())

    def _own(self) -> dict[str, Any]:
        number = next(self._numbers)
        return {"id": uuid7(0, number), "priority": number}


def fence(attempt: Command) -> tuple[UUID, int]:
    return attempt.id, attempt.lease_number


def read_all(store: VirtualStore) -> tuple[dict[str, Seen], dict[tuple[str, int], Any], dict[str, int]]:
    """Return the live commands, the finished runs, and how many ends are remembered for each command."""
    with store.database.autocommit() as connection:
        remembered: dict[str, int] = {}
        for row in read(connection, "joined"):
            remembered[str(row["command_id"])] = remembered.get(str(row["command_id"]), 0) + 1
        return (
            {str(row["id"]): seen_in(row) for row in read(connection, "commands")},
            {(str(row["id"]), row["run"]): row for row in read(connection, "finished_commands")},
            remembered,
        )


def read(connection: Connection, table: str) -> Iterable[dict[str, Any]]:
    """Return a table's rows by column, as the driver gives them."""
    cursor = connection.raw.execute(f"SELECT * FROM {schema_of(connection)}{table}")  # type: ignore[attr-defined]
    columns = [column[0] for column in cursor.description]
    return [row if isinstance(row, dict) else dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def seen_in(row: dict[str, Any]) -> Seen:
    """Return what a row says."""
    return Seen(
        state=State(row["state"]),
        lease_expires_at=moment(row["lease_expires_at"]),
        ready_at=moment(row["ready_at"]) or EPOCH,
        expires_at=moment(row["expires_at"]),
        **{
            name: row[name]
            for name in ("run", "attempt", "retries", "lease_number", "unique_key", "ending", "awaits", "children")
        },
    )


def moment(value: datetime | int | None) -> datetime | None:
    """Return a moment as either database gives it."""
    return EPOCH + timedelta(microseconds=value) if isinstance(value, int) else value
