"""A service: parts such as a worker and an API server that run side by side in this process."""

import threading
from types import TracebackType
from typing import Protocol, Self


class Part(Protocol):
    """Something that runs until it is stopped."""

    def run(self) -> None:
        """Work until stopped."""
        ...

    def stop(self) -> None:
        """Ask it to stop; `run` returns when it has. Called from another thread, and maybe more than once."""
        ...


class Service:
    """Runs each part in a thread of its own; when one of them ends, of itself or with an error, all are stopped.

    As a context manager it runs during the block.
    """

    def __init__(self, *parts: Part) -> None:
        """Hold the parts; nothing runs yet."""
        self._parts = parts
        self._threads = [threading.Thread(target=self._run, args=(part,), daemon=True) for part in parts]
        self._errors: list[BaseException] = []

    def start(self) -> None:
        """Start every part."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask every part to stop."""
        for part in self._parts:
            part.stop()

    def wait(self) -> None:
        """Wait until every part has ended, and raise the first error that one of them ended with."""
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.wait()

    def _run(self, part: Part) -> None:
        try:
            part.run()
        except BaseException as error:  # noqa: BLE001  the thread that waits is to hear of it, whatever it is
            self._errors.append(error)
        finally:
            self.stop()
