"""What Postgres raises, in the words of durex."""

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def translated(statement: str) -> Iterator[None]:
    """Turn driver errors into durex's, naming the statement."""
    try:
        yield
    except _SCHEMA_MISSING as error:
        msg = f"{statement}: {error.diag.message_primary}; run `durex migrate`"
        raise SchemaMissing(msg) from error
    except sqlstates.UniqueViolation as error:
        msg = f"{statement}: {error.diag.message_primary}"
        raise RowExists(msg) from error
    except _BUSY as error:
        msg = f"{statement}: {error}"
        raise DatabaseBusy(msg) from error
    except _NOT_DONE as error:
        msg = f"{statement}: {error}"
        raise DatabaseUnavailable(msg, is_in_doubt=False) from error
    except _CONNECTION_OVER as error:
        msg = f"{statement}: {error}"
        raise DatabaseUnavailable(msg) from error
    except psycopg.Error as error:
        msg = f"{statement}: {error}"
        raise DatabaseError(msg) from error
