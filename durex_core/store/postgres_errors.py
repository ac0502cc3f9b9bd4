"""What Postgres raises, in the words of durex."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as sqlstates

from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable, RowExists, SchemaMissing

# What means "this connection is of no more use", beyond psycopg's own OperationalError: a server that shuts down, an
# idle session that was ended, and a standby that answers after a failover.
_CONNECTION_OVER = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    sqlstates.IdleSessionTimeout,
    sqlstates.ReadOnlySqlTransaction,
)
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
    except _CONNECTION_OVER as error:
        msg = f"{statement}: {error}"
        raise DatabaseUnavailable(msg) from error
    except psycopg.Error as error:
        msg = f"{statement}: {error}"
        raise DatabaseError(msg) from error
