"""Alarms as operations need them: set once for each ten minutes, before the commit that needs them."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from durex_core.store import alarms
from durex_core.store.database import Database

_MOST_KNOWN = 1000


class SetsAlarms(Protocol):
    """Whoever can have the tick called at a later time."""

    def create(self, bucket: datetime) -> bool:
        """Set the alarm of a bucket, and say whether it is set."""
        ...


class BookedAlarms:
    """Sets alarms and keeps book of them: in the process for its own, in the database for all others.

    The book may say too little, never too much: a line is written when the alarm is set. An alarm too many fires in
    vain, and one that is set in vain does so, too.
    """

    def __init__(self, database: Callable[[], Database], alarms: SetsAlarms) -> None:
        """Take what returns the database, and who sets alarms."""
        self._database = database
        self._alarms = alarms
        self._lock = threading.Lock()
        self._known: set[datetime] = set()

    def book(self, bucket: datetime) -> bool:
        """See to it that a bucket has its alarm, and say whether that is certain."""
        if bucket in self._known:
            return True
        database = self._database()
        with database.autocommit() as connection:
            is_booked = alarms.is_booked(connection, bucket)
        if not is_booked:
            # No connection is held while AWS is asked: there may be only one.
            if not self._alarms.create(bucket):
                return False
            with database.autocommit() as connection:
                alarms.book(connection, bucket)
        self._remember(bucket)
        return True

    def create(self, bucket: datetime) -> bool:
        """Set the alarm of a bucket without asking the database."""
        return self._alarms.create(bucket)

    def _remember(self, bucket: datetime) -> None:
        with self._lock:
            # To forget one costs a query.
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known.add(bucket)
