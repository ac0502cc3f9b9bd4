"""Every error that durex raises on purpose, in one tree under `DurexError`.

A message says what is wrong, with which value, and how to mend it; the attributes hold the data.
"""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID


class DurexError(Exception):
    """The root of all durex errors: catch it to catch them all."""


class RegistrationError(DurexError, TypeError):
    """A command was declared in a way that cannot work; mend the decorator or the handler's signature."""


class AppNotFound(DurexError):
    """No application could be loaded; name one with DUREX_APP=module:attribute or `[tool.durex] app`."""


class InvalidSpec(DurexError, ValueError):
    """A spec was refused at the edge and nothing was stored; `field` names the part to mend."""

    def __init__(self, field: str, reason: str) -> None:
        """Name the field as the caller wrote it and the reason in one sentence."""
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class InvalidQuery(DurexError, ValueError):
    """What was asked about commands was refused at the edge; `field` names the part to mend."""

    def __init__(self, field: str, reason: str) -> None:
        """Name the field as the caller wrote it and the reason in one sentence."""
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UnknownQueue(InvalidQuery):
    """No command of the application uses this queue; mend the spelling."""

    def __init__(self, queue: str, known: Iterable[str]) -> None:
        """Keep the unknown queue and list the known ones."""
        listed = ", ".join(sorted(known)) or "none"
        super().__init__("queue", f"no command of the application uses the queue {queue!r} (known: {listed})")
        self.queue = queue


class UnknownCommand(InvalidSpec):
    """No handler is registered under this name; register it or mend the spelling."""

    def __init__(self, name: str, known: Iterable[str], field: str = "name") -> None:
        """Keep the unknown name and list the known ones."""
        listed = ", ".join(sorted(known)) or "none"
        super().__init__(field, f"no command named {name!r} is registered (known: {listed})")
        self.name = name


class InvalidPayload(InvalidSpec):
    """The payload does not fit the handler's type, or is not plain JSON."""


class PayloadTooLarge(InvalidSpec):
    """The payload's JSON is longer than the limit; store the bulk elsewhere and enqueue a reference to it."""

    def __init__(self, size: int, limit: int) -> None:
        """Keep both sizes, in bytes of UTF-8 JSON."""
        super().__init__("payload", f"is {size:,} bytes of JSON, the limit is {limit:,}")
        self.size = size
        self.limit = limit


class InvalidResult(DurexError, ValueError):
    """A handler returned something that is not plain JSON or is too large; return less, or a reference."""


class CommandNotFound(DurexError, LookupError):
    """No command has this id: it never existed, was pruned after its retention, or is accepted but not yet stored."""

    def __init__(self, command_id: UUID, *, may_come: bool = False) -> None:
        """Keep the id that was looked for, and say whether it is one that may be stored yet."""
        why = (
            "it may have been accepted while the database was away, and be stored soon"
            if may_come
            else "finished commands are pruned after their retention"
        )
        super().__init__(f"no command has the id {command_id}; {why}")
        self.command_id = command_id


class LeaseLost(DurexError):
    """This attempt no longer owns its command: its lease ran out and the command was, or may be, claimed anew.

    Nothing that the attempt wrote after that was stored. Stop its work.
    """

    def __init__(self, command_id: UUID, lease_number: int) -> None:
        """Keep the fencing token that was refused."""
        super().__init__(f"lease {lease_number} of command {command_id} is over; nothing was written")
        self.command_id = command_id
        self.lease_number = lease_number


class AttemptCancelled(DurexError):
    """The work of this attempt is no longer wanted: its time is up, its command was cancelled, or its lease is lost."""

    def __init__(self, command_id: UUID, attempt: int) -> None:
        """Keep whose work it was."""
        super().__init__(f"attempt {attempt} of command {command_id} is no longer wanted; nothing it reports is stored")
        self.command_id = command_id
        self.attempt = attempt


class NonRetryable(DurexError):
    """Raise this from a handler to fail the command for good, whatever retries are left."""


class RateLimited(DurexError):
    """Raise this from a handler to try again after `retry_after` (default: the backoff); it uses up a retry."""

    def __init__(self, retry_after: timedelta | None = None, message: str = "the handler was rate limited") -> None:
        """Keep how long to wait."""
        super().__init__(message)
        self.retry_after = retry_after


class Cancel(DurexError):
    """Raise this from a handler to end its command as `cancelled`, with the reason."""

    def __init__(self, reason: str = "the handler cancelled its command") -> None:
        """Keep the reason."""
        super().__init__(reason)


class NotAllowed(DurexError):
    """The command's state does not allow this; nothing was changed. The message says why."""


class KeyTaken(NotAllowed):
    """A live command holds the unique key that this one would need."""

    def __init__(self, command_id: UUID, unique_key: str, holder: UUID) -> None:
        """Keep the key, the command that needs it and the one that holds it."""
        super().__init__(
            f"command {command_id} needs the unique key {unique_key!r}, which the live command {holder} holds;"
            " wait for that one's end, or cancel it"
        )
        self.command_id = command_id
        self.unique_key = unique_key
        self.holder = holder


class WakeNotSent(DurexError):
    """The workers of a queue could not be told of its work; try again, or let it be found by the next pass."""

    def __init__(self, queue: str) -> None:
        """Keep whose workers they are."""
        super().__init__(f"the workers of queue {queue!r} could not be told; try again, or they find its work later")
        self.queue = queue


class InvalidDatabaseUrl(DurexError, ValueError):
    """A database URL names no kind of database that durex knows."""


class WrongConnection(DurexError, TypeError):
    """A connection to enqueue through is none of the application's database; the message says which would be."""


class DatabaseError(DurexError):
    """The database refused a statement."""


class RowExists(DatabaseError):
    """A row with the same id or unique key is there already."""


class DatabaseUnavailable(DatabaseError):
    """The database could not be reached or ended the connection; try again, and check DUREX_DATABASE_URL."""

    def __init__(self, message: str, *, is_in_doubt: bool = True) -> None:
        """Keep whether what was asked may have been done: not if there was no connection, or if it was refused."""
        super().__init__(message)
        self.is_in_doubt = is_in_doubt


class TooLargeToKeep(DatabaseUnavailable):
    """The database is away, and the command too large to be kept until it is back; try again, or enqueue less."""

    def __init__(self, size: int, limit: int) -> None:
        """Keep both sizes, in bytes of UTF-8 JSON."""
        super().__init__(
            f"the command takes {size:,} bytes, and at most {limit:,} can be kept until the database is back"
        )
        self.size = size
        self.limit = limit


class DatabaseBusy(DatabaseError):
    """A statement lost against another one (a deadlock, a lock held for long); the same again may succeed."""


class SchemaMissing(DatabaseError):
    """The database does not hold the tables that this version needs; run `durex migrate`."""


class MigrationError(DatabaseError):
    """A migration cannot be applied: its text differs from what was applied before under its number."""
