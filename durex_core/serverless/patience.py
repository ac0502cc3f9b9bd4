"""Patience with a database that resumes from its pause, which takes up to half a minute, or that fails over."""

import logging
import threading

from durex_core.clock import monotonic_seconds
from durex_core.errors import DatabaseUnavailable
from durex_core.store.database import Database

_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def wait_for_database(database: Database, *, seconds: float) -> None:
    """Return when the database can be reached.

    Raises:
        DatabaseUnavailable: it could not be, for that long.
    """
    deadline = monotonic_seconds() + seconds
    while True:
        try:
            with database.autocommit():
                return
        except DatabaseUnavailable as error:
            if monotonic_seconds() + _PAUSE_SECONDS > deadline:
                raise
            _log.warning("waiting for the database: %s", error)
            threading.Event().wait(_PAUSE_SECONDS)
