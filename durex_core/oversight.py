"""Oversight: what an application can do with the commands that are stored, beside enqueueing and running them."""

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Unpack
from uuid import UUID

from durex_core import operations
from durex_core.errors import InvalidQuery, InvalidSpec
from durex_core.execution.surroundings import Surroundings
from durex_core.model import Accepted, Command, State
from durex_core.operations.after import After
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.store.database import Database

if TYPE_CHECKING:
    from durex_core.queries import Filters, Page, Query, QueryOptions, Stats
    from durex_core.rules.history import HistoryEvent

_DAY = timedelta(days=1)
_EXAMPLE_ID = "019a2063-fc05-72e4-9bc1-56922de41a35"


class Oversight(ABC):
    """Looks after stored commands: finds and counts them, cancels them, and lets them run again."""

    registry: Registry
    surroundings: Surroundings

    @property
    @abstractmethod
    def database(self) -> Database:
        """The database."""

    @property
    @abstractmethod
    def wake(self) -> Wake:
        """How workers hear of work."""

    @property
    def _after(self) -> After:
        return After(self.wake, self.surroundings.observers)

    def get(self, command_id: UUID | str) -> Command:
        """Return a command, live or finished; of one that repeats, the newest run.

        Raises:
            CommandNotFound: no command has this id.
            InvalidSpec: the text is no id.
        """
        return operations.find.get(self.database, parse_id(command_id))

    def look_up(self, command_id: UUID | str) -> Command | Accepted:
        """Return a command, or that it was accepted while the database was away and is not stored yet.

        Raises:
            CommandNotFound: no command has this id.
            InvalidSpec: the text is no id.
        """
        return operations.ingest.look_up(self.database, parse_id(command_id))

    def history(self, command_id: UUID | str) -> "tuple[HistoryEvent, ...]":
        """Return what happened to a command, in order."""
        return operations.find.history(self.database, parse_id(command_id))

    def find(self, query: "Query | None" = None, /, **options: "Unpack[QueryOptions]") -> "Page":
        """Return a page of commands, live and finished ones, the newest first: by a query, or by its parts as keywords.

        `app.find(state="failed", tag="order", payload={"customer.id": 42})`; the page's `next_cursor`, handed back as
        `cursor`, gets the next page. See `Query` for what there is to ask for.

        Raises:
            InvalidQuery: a part of the query was refused.
        """
        return operations.find.find(self.database, _query(query, options))

    def stats(self, *, finished_within: timedelta = _DAY) -> "Stats":
        """Count the live commands of each queue and state, and those that finished lately.

        Raises:
            InvalidQuery: `finished_within` is no length of time to look back.
        """
        return operations.find.stats(self.database, finished_within)

    def cancel(self, command_id: UUID | str, reason: str | None = None) -> Command:
        """Cancel a live command and return it as it ended.

        One that runs loses its lease: whatever its handler then reports is refused.

        Raises:
            CommandNotFound: no command has this id.
            NotAllowed: it has ended already.
        """
        return operations.cancel.cancel(self.database, self._after, parse_id(command_id), reason)

    def cancel_many(
        self, query: "Query | None" = None, /, *, reason: str | None = None, **filters: "Unpack[Filters]"
    ) -> list[UUID]:
        """Cancel all live commands that a query finds, such as those with a tag, and return their ids.

        They are cancelled 500 at a time: if it fails midway, those before stay cancelled.

        Raises:
            InvalidQuery: a part of the query was refused, or nothing narrows it.
        """
        return operations.cancel.cancel_many(self.database, self._after, _query(query, filters), reason)

    def retry(self, command_id: UUID | str) -> Command:
        """Let a command run now, and return it.

        One that failed, expired or was cancelled, or that is in the dead letter queue, gets a fresh budget of attempts,
        and its deadline and `start_within` begin anew. One that waits for its time or its backoff is spared the wait.

        Raises:
            CommandNotFound: no command has this id.
            NotAllowed: its state does not allow it, its own deadline has passed, or its unique key is taken (KeyTaken).
        """
        return operations.revive.retry(self.database, self._after, parse_id(command_id))

    def replay(self, command_id: UUID | str) -> Command:
        """Let a command out of the dead letter queue run again, as `retry` does, and return it.

        Raises:
            CommandNotFound: no command has this id.
            NotAllowed: it is not in the dead letter queue, or cannot be retried.
        """
        return operations.revive.replay(self.database, self._after, parse_id(command_id))

    def dead_letters(self, **options: "Unpack[QueryOptions]") -> "Page":
        """Return a page of the dead letter queue, the newest commands first; it takes what `find` takes.

        Raises:
            InvalidQuery: a part of the query was refused.
        """
        options["state"] = State.DEAD_LETTER
        return self.find(**options)

    def replay_dead_letters(self, name: str | None = None, *, limit: int = 1000) -> list[UUID]:
        """Replay the oldest commands of the dead letter queue, or of one name; return the ids of those that could be.

        Raises:
            InvalidQuery: the name or the limit was refused.
        """
        return operations.revive.replay_dead_letters(self.database, self._after, name, limit)

    def purge_dead_letters(self, older_than: timedelta, *, limit: int = 1000) -> int:
        """Drop the commands that came into the dead letter queue longer ago, `limit` at a time; return how many.

        Raises:
            InvalidQuery: `older_than` is negative, or the limit is below 1.
        """
        return operations.revive.purge_dead_letters(self.database, self._after, older_than, limit)

    def wake_queue(self, queue: str) -> None:
        """Tell the workers of a queue that it has work; `enqueue` does so by itself, the function in SQL cannot on AWS.

        Raises:
            UnknownQueue: no command of this application uses the queue.
            WakeNotSent: they could not be told; a later pass finds the work.
        """
        operations.queues.wake_workers(self.registry, self.wake, queue)


def parse_id(command_id: UUID | str) -> UUID:
    """Read a command's id.

    Raises:
        InvalidSpec: the text is no UUID.
    """
    if isinstance(command_id, UUID):
        return command_id
    try:
        return UUID(command_id)
    except ValueError:
        raise InvalidSpec("id", f"{command_id!r} is not a command id; ids look like {_EXAMPLE_ID}") from None


def _query(query: "Query | None", options: "Filters | QueryOptions") -> "Query":
    from durex_core.queries import make_query  # noqa: PLC0415  only who looks at stored commands needs it

    if query is None:
        return make_query(options)
    if options:
        raise InvalidQuery(next(iter(options)), "stands beside a whole query; use `dataclasses.replace` on the query")
    return query
