"""The promises of this process: which wakes it has sent that are still to come.

Many commits share a wake that comes after all of them. To remember too little costs a message, never a command.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from durex_core.rules.wakes import ECHO_AFTER

_UNTIL_COMMIT = timedelta(seconds=25)  # the database ends a statement of 20 s
_ROUNDING = timedelta(seconds=1)


class Promises:
    """When this process has wakes come, by queue."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._moments: defaultdict[str, list[datetime]] = defaultdict(list)

    def holds(self, queue: str, now: datetime, moment: datetime) -> bool:
        """Say whether a wake comes at a moment or a little before it, but not before the commit that asks for it.

        A wake that comes earlier finds what is due at that moment and sees to the rest.
        """
        with self._lock:
            # What comes sooner may come before the commit, now and from now on.
            kept = self._moments[queue] = [each for each in self._moments[queue] if each >= now + _UNTIL_COMMIT]
            return any(moment - ECHO_AFTER <= each <= moment + _ROUNDING for each in kept)

    def add(self, queue: str, moments: Iterable[datetime]) -> None:
        """Remember that wakes come at these moments."""
        with self._lock:
            self._moments[queue].extend(moments)
