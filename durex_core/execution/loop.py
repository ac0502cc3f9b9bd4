"""The event loop of a process: coroutine functions run on it, and it is the timer for timeouts."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_CANCEL_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Loop:
    """An event loop in a thread of its own, which goes on whatever its tasks do."""

    def __init__(self) -> None:
        """Start it."""
        self.asyncio = asyncio.new_event_loop()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="durex-loop", daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a plain function on the loop, soon."""
        self.asyncio.call_soon_threadsafe(function, *args)

    def close(self) -> None:
        """Stop, after what still runs has been cancelled."""
        self._is_closing = True
        self.call(self.asyncio.stop)
        # A handler that blocks the loop, instead of awaiting, must not keep the process from ending.
        self._thread.join(2 * _CANCEL_SECONDS)

    def _run(self) -> None:
        while not self._is_closing:
            with _logged():
                self.asyncio.run_forever()
        with _logged():
            self.asyncio.run_until_complete(_cancel_all())
        self.asyncio.close()


async def _cancel_all() -> None:
    """Let coroutines that were given up come to their end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_CANCEL_SECONDS)


@contextmanager
def _logged() -> Iterator[None]:
    """Go on after a SystemExit or the like in a task that a handler left behind, which ends an event loop's run."""
    try:
        yield
    except BaseException:  # noqa: BLE001  whatever it is, other attempts need the loop
        _log.exception("a handler's task interrupted the event loop")
