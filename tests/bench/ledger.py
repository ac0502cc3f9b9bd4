"""The ledger: how often the handler of each command ran, and when, kept by several processes in one file.

Every process counts in a part of its own, so that none overwrites what another one counts. It costs a handler well
under a microsecond, and outlives a worker that is killed.
"""

import mmap
import threading
import time
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Self

_BYTES_OF_MOMENT = 8
_MOST = 255
_LOOK_SECONDS = 0.0005
_PATIENCE_SECONDS = 20.0


class Ledger:
    """The counts of commands numbered from 0.

    For each process there is a row of runs and a row of failures; `called` and `ran` are moments by the clock that all
    processes of a machine share.
    """

    def __init__(self, path: Path, commands: int, processes: int = 1, place: int = 0) -> None:
        """Open the file of so many commands and processes; `place` says which process this one is."""
        self.commands = commands
        self.processes = processes
        with path.open("r+b") as file:
            self._file = mmap.mmap(file.fileno(), 0)
        view = memoryview(self._file)
        moments = 2 * processes * commands
        middle = moments + _BYTES_OF_MOMENT * commands
        self._runs = view[place * commands : (place + 1) * commands]
        self._failures = view[(processes + place) * commands : (processes + place + 1) * commands]
        self._called = view[moments:middle].cast("d")
        self._ran = view[middle : middle + _BYTES_OF_MOMENT * commands].cast("d")

    @classmethod
    def create(cls, path: Path, commands: int, processes: int = 1) -> Self:
        """Make an empty file, and open it."""
        path.write_bytes(bytes(2 * (processes + _BYTES_OF_MOMENT) * commands))
        return cls(path, commands, processes)

    @classmethod
    def nowhere(cls) -> Self:
        """Return one of no commands, for who runs none."""
        with NamedTemporaryFile() as file:
            return cls.create(Path(file.name), 1)

    def run(self, number: int) -> None:
        """Count that a handler ran to its end."""
        self._runs[number] = min(self._runs[number] + 1, _MOST)

    def fail(self, number: int) -> None:
        """Count that a handler raised."""
        self._failures[number] = min(self._failures[number] + 1, _MOST)

    def call(self, number: int) -> None:
        """Note the moment before a command is enqueued."""
        self._called[number] = time.perf_counter()

    def hear(self, number: int) -> None:
        """Note the moment at which a handler began, and count it."""
        self._ran[number] = time.perf_counter()
        self.run(number)

    def wait_for(self, number: int) -> None:
        """Wait until the handler of a command began.

        Raises:
            TimeoutError: it did not.
        """
        pause = threading.Event()
        give_up_at = time.perf_counter() + _PATIENCE_SECONDS
        while not self._ran[number]:
            if time.perf_counter() > give_up_at:
                raise TimeoutError(f"command {number} was not picked up within {_PATIENCE_SECONDS:g} s")
            pause.wait(_LOOK_SECONDS)

    def first_not_called(self, start: int) -> int:
        """Return the number of the first command from `start` on that was not called."""
        while start < self.commands and self._called[start]:
            start += 1
        return start

    @property
    def done(self) -> int:
        """How many commands ran, counting those twice that ran in two processes."""
        runs = self._rows(0)
        return len(runs) - runs.count(0)

    @property
    def latencies(self) -> list[float]:
        """The seconds from call to handler, of those that were called and ran."""
        return [ran - called for called, ran in zip(self._called, self._ran, strict=True) if called and ran]

    def runs(self) -> list[int]:
        """Return how often each command ran to its end."""
        return self._sums(0)

    def failures(self) -> list[int]:
        """Return how often each command failed."""
        return self._sums(self.processes)

    def _sums(self, first: int) -> list[int]:
        rows = self._rows(first)
        places = range(self.processes)
        return [sum(rows[place * self.commands + n] for place in places) for n in range(self.commands)]

    def _rows(self, first: int) -> bytes:
        return self._file[first * self.commands : (first + self.processes) * self.commands]
