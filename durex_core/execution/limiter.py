"""The limiter: how many handlers run side by side in this process, for each command name and in all.

Who waits stands in line. A slot that comes free is handed to the first in line who may have it, under the same lock, so
that nobody who comes later can snatch it and no wake-up is lost. Whoever waits for a name that is full holds up only
those of the same name.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from durex_core.errors import RateLimited
from durex_core.records import record


@record
class CommandLimitStats:
    """How many of one name run and wait; `limit` is None if it has none of its own."""

    limit: int | None
    current: int
    waiting: int


@record
class LimiterStats:
    """A limiter at one moment: every name that has a limit, runs or waits; `global_limit` is None if there is none."""

    global_limit: int | None
    global_current: int
    commands: dict[str, CommandLimitStats]


class Limiter:
    """Slots for running handlers. What has no limit is counted too; a lowered limit stops nothing that runs."""

    def __init__(self, limits: Mapping[str, int] | None = None, *, global_limit: int | None = None) -> None:
        """Begin with limits by name, and one for all names together.

        Raises:
            TypeError: a limit is no whole number, or a name is no text.
            ValueError: a limit is negative, or a name is empty.
        """
        self._lock = threading.Lock()
        self._limits: dict[str, int] = {}
        self._global_limit = 0
        self._running: dict[str, int] = {}
        self._line: list[_Waiter] = []
        for name, limit in (limits or {}).items():
            self.set_limit(name, limit)
        self.set_global_limit(0 if global_limit is None else global_limit)

    def set_limit(self, name: str, limit: int) -> None:
        """Let at most `limit` of a name run at a time from here on; 0 removes its limit.

        Raises:
            TypeError: the limit is no whole number, or the name is no text.
            ValueError: the limit is negative, or the name is empty.
        """
        _check_name(name)
        _check_limit(limit, f"the limit of {name!r}")
        with self._lock:
            self._limits.pop(name, None)
            if limit:
                self._limits[name] = limit
            self._admit()

    def set_global_limit(self, limit: int) -> None:
        """Let at most `limit` run at a time in all from here on; 0 removes the limit.

        Raises:
            TypeError: the limit is no whole number.
            ValueError: the limit is negative.
        """
        _check_limit(limit, "the global limit")
        with self._lock:
            self._global_limit = limit
            self._admit()

    def try_acquire(self, name: str) -> bool:
        """Take a slot if one is free, without waiting, and say whether it did."""
        if type(name) is not str or not name:
            _check_name(name)
        with self._lock:
            return self._take(name)

    def acquire(self, name: str, timeout: timedelta | None = None) -> bool:
        """Wait for a slot, for as long as it takes or for the timeout, and say whether it has one. It blocks.

        Raises:
            TypeError: the timeout is no timedelta, or the name is no text.
            ValueError: the timeout is negative, or the name is empty.
        """
        seconds = _seconds(timeout)
        waiter = self._join(name)
        try:
            waiter.admitted.wait(seconds)
        except BaseException:  # an interrupt: nobody would give the slot back
            if not self._withdraw(waiter):
                self.release(name)
            raise
        return not self._withdraw(waiter)

    def release(self, name: str) -> None:
        """Give a slot back.

        Raises:
            RuntimeError: no slot of that name is taken.
        """
        with self._lock:
            running = self._running.get(name, 0)
            if not running:
                raise RuntimeError(f"no slot of {name!r} is taken: release once for each slot that was acquired")
            if running == 1:
                del self._running[name]
            else:
                self._running[name] = running - 1
            if self._line:
                self._admit()

    @contextmanager
    def holding(self, name: str, timeout: timedelta | None = None) -> Iterator[None]:
        """Hold a slot during the block.

        Raises:
            RateLimited: none came free within the timeout; raised from a handler, it leads to another attempt.
        """
        if not self.acquire(name, timeout):
            raise RateLimited(
                message=f"no slot of {name!r} came free within {timeout}: raise its limit, or wait longer"
            )
        try:
            yield
        finally:
            self.release(name)

    def free(self, names: Iterable[str]) -> bool:
        """Say whether at least one of these names could start now."""
        if isinstance(names, str):
            raise TypeError(f"names is one text, {names!r}: give a list of names")
        with self._lock:
            return any(self._has_room(name, self._running.get(name, 0)) for name in names)

    def limit(self, name: str) -> int | None:
        """Return the limit of a name's own, or None."""
        with self._lock:
            return self._limits.get(name)

    def room(self, names: Iterable[str]) -> int | None:
        """Return how many of these names together could start now, or None if nothing limits them."""
        with self._lock:
            limits = [(name, self._limits.get(name)) for name in names]
            bounds = []
            if limits and all(limit is not None for _, limit in limits):
                bounds.append(sum(max((limit or 0) - self._running.get(name, 0), 0) for name, limit in limits))
            if self._global_limit:
                bounds.append(max(self._global_limit - self._total(), 0))
            return min(bounds, default=None)

    def current(self, name: str) -> int:
        """Return how many slots of a name are taken."""
        with self._lock:
            return self._running.get(name, 0)

    @property
    def global_current(self) -> int:
        """How many slots are taken in all."""
        with self._lock:
            return self._total()

    def stats(self) -> LimiterStats:
        """Return the limits, and what runs and waits, all of one moment."""
        with self._lock:
            waiting = Counter(waiter.name for waiter in self._line)
            return LimiterStats(
                self._global_limit or None,
                self._total(),
                {
                    name: CommandLimitStats(self._limits.get(name), self._running.get(name, 0), waiting[name])
                    for name in sorted({*self._limits, *self._running, *waiting})
                },
            )

    def _total(self) -> int:
        return sum(self._running.values())

    def _has_room(self, name: str, running: int) -> bool:
        if self._global_limit and self._total() >= self._global_limit:
            return False
        limit = self._limits.get(name)
        return limit is None or running < limit

    def _take(self, name: str) -> bool:
        running = self._running.get(name, 0)
        has_room = not (self._limits or self._global_limit) or self._has_room(name, running)
        if has_room:
            self._running[name] = running + 1
        return has_room

    def _join(self, name: str) -> "_Waiter":
        _check_name(name)
        waiter = _Waiter(name)
        with self._lock:
            self._line.append(waiter)
            self._admit()
        return waiter

    def _admit(self) -> None:
        """Hand out what is free, first come, first served. After this nobody in line could start."""
        still_waiting = []
        for waiter in self._line:
            if self._take(waiter.name):
                waiter.admitted.set()
            else:
                still_waiting.append(waiter)
        self._line = still_waiting

    def _withdraw(self, waiter: "_Waiter") -> bool:
        """Leave the line, and say whether it still stood there."""
        with self._lock:
            is_waiting = not waiter.admitted.is_set()
            if is_waiting:
                self._line.remove(waiter)
            return is_waiting


class _Waiter:
    """Somebody in line."""

    __slots__ = ("admitted", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.admitted = threading.Event()


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a command's name is text, not {name!r}")
    if not name:
        raise ValueError("the name is empty: limit a command by its name, or all by the global limit")


def _check_limit(limit: int, what: str) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise TypeError(f"{what} is {limit!r}: give a whole number")
    if limit < 0:
        raise ValueError(f"{what} is {limit}: give a whole number from 1, or 0 for no limit")


def _seconds(timeout: timedelta | None) -> float | None:
    if timeout is None:
        return None
    if not isinstance(timeout, timedelta):
        raise TypeError(f"the timeout is {timeout!r}: give a timedelta, or None to wait for as long as it takes")
    if timeout < timedelta(0):
        raise ValueError(
            f"the timeout is {timeout}: give one that is not negative, or None to wait as long as it takes"
        )
    return min(timeout.total_seconds(), threading.TIMEOUT_MAX)
