"""Connections of the caller's: what `enqueue(…, connection=…)` is handed, down to the driver's own."""

from typing import Any

from durex_core.errors import WrongConnection


def driver_connection(connection: Any) -> Any:
    """Return the driver's connection inside of SQLAlchemy's `Session` or `Connection`, or the connection itself."""
    if callable(getattr(connection, "connection", None)):  # a Session
        connection = connection.connection()
    pooled = getattr(connection, "connection", None)
    return getattr(pooled, "driver_connection", None) or connection


def wrong(connection: Any, wanted: str) -> WrongConnection:
    """Return the error that says what a connection should have been."""
    kind = type(connection)
    return WrongConnection(
        f"connection is a {kind.__module__}.{kind.__qualname__}; to join its transaction it must be {wanted}, or"
        " SQLAlchemy's Connection or Session around one, on the database of the application"
    )
