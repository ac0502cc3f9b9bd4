"""Every error that durex raises on purpose, in one tree under `DurexError`.

A message says what is wrong, with which value, and how to mend it; the attributes hold the data.
"""

from collections.abc import Iterable
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


class UnknownCommand(InvalidSpec):
    """No handler is registered under this name; register it or mend the spelling."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        """Keep the unknown name and list the known ones."""
        listed = ", ".join(sorted(known)) or "none"
        super().__init__("name", f"no command named {name!r} is registered (known: {listed})")
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
    """No command has this id: it never existed, or was pruned after its retention."""

    def __init__(self, command_id: UUID) -> None:
        """Keep the id that was looked for."""
        super().__init__(f"no command has the id {command_id}; finished commands are pruned after their retention")
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


class NonRetryable(DurexError):
    """Raise this from a handler to fail the command for good, whatever retries are left."""


class InvalidDatabaseUrl(DurexError, ValueError):
    """A database URL names no kind of database that durex knows."""


class DatabaseError(DurexError):
    """The database refused a statement."""


class DatabaseUnavailable(DatabaseError):
    """The database could not be reached or ended the connection; try again, and check DUREX_DATABASE_URL."""


class DatabaseBusy(DatabaseError):
    """A statement lost against another one (a deadlock, a lock held for long); the same again may succeed."""


class SchemaMissing(DatabaseError):
    """The database does not hold the tables that this version needs; run `durex migrate`."""


class MigrationError(DatabaseError):
    """A migration cannot be applied: its text differs from what was applied before under its number."""
