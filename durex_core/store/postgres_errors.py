"""What Postgres raises, in the words of durex."""

import psycopg
from psycopg import errors as sqlstates

from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable, RowExists, SchemaMissing

# What means "this connection is of no more use": a server that shuts down, or a network that broke.
_CONNECTION_OVER = (psycopg.OperationalError, psycopg.InterfaceError)
# The same, and what was asked was certainly not done: the session had been ended for its idleness, or a standby answers
# after a failover.
_NOT_DONE = (sqlstates.IdleSessionTimeout, sqlstates.ReadOnlySqlTransaction)
_BUSY = (
    sqlstates.DeadlockDetected,
    sqlstates.SerializationFailure,
    sqlstates.LockNotAvailable,
    sqlstates.QueryCanceled,
)
_SCHEMA_MISSING = (sqlstates.UndefinedTable, sqlstates.InvalidSchemaName, sqlstates.UndefinedColumn)


class translated:  # noqa: N801  it reads as what it does; a generator would take three times as long in each statement
    """Turn driver errors of the block into durex's, naming the statement."""

    __slots__ = ("_statement",)

    def __init__(self, statement: str) -> None:
        self._statement = statement

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, psycopg.Error):
            raise _translation(self._statement, error) from error


def _translation(statement: str, error: psycopg.Error) -> DatabaseError:
    if isinstance(error, _SCHEMA_MISSING):
        return SchemaMissing(f"{statement}: {error.diag.message_primary}; run `durex migrate`")
    if isinstance(error, sqlstates.UniqueViolation):
        return RowExists(f"{statement}: {error.diag.message_primary}")
    said = f"{statement}: {error}"
    if isinstance(error, _BUSY):
        return DatabaseBusy(said)
    if isinstance(error, _NOT_DONE):
        return DatabaseUnavailable(said, is_in_doubt=False)
    return DatabaseUnavailable(said) if isinstance(error, _CONNECTION_OVER) else DatabaseError(said)
