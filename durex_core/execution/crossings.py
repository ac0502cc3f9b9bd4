"""Crossings: where one turn goes from a thread to the event loop, or from the loop to a thread."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any


class Crossings:
    """The crossings of one turn; when nobody wants it any more, what it runs on the loop is cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cross to and from this loop."""
        self._loop = loop
        self._lock = threading.Lock()
        self._on_loop: list[Future[Any]] = []
        self._in_threads = 0
        self._is_cancelled = False

    @property
    def has_threads(self) -> bool:
        """Whether a plain function that was called from the loop still runs."""
        return self._in_threads > 0

    def to_loop(self, function: Callable[[], Any]) -> Any:
        """Call, from a thread, a function that returns a coroutine, and wait while the loop runs that."""
        running = asyncio.run_coroutine_threadsafe(function(), self._loop)
        with self._lock:
            self._on_loop.append(running)
            is_cancelled = self._is_cancelled
        if is_cancelled:
            running.cancel()
        return running.result()

    async def to_thread(self, function: Callable[[], Any]) -> Any:
        """Call a plain function in a thread of its own: one that is stuck takes no thread away from others."""
        called: Future[Any] = Future()
        called.set_running_or_notify_cancel()
        context = copy_context()

        def call() -> None:
            try:
                context.run(_call, function, called)
            finally:
                self._count(-1)

        self._count(+1)
        threading.Thread(target=call, name="durex-crossing", daemon=True).start()
        return await asyncio.wrap_future(called)

    def cancel(self) -> None:
        """Cancel what runs on the loop, now or later; a plain function in a thread cannot be stopped."""
        with self._lock:
            self._is_cancelled = True
            running = list(self._on_loop)
        for one in running:
            one.cancel()

    def _count(self, more: int) -> None:
        with self._lock:
            self._in_threads += more


def _call(function: Callable[[], Any], called: Future[Any]) -> None:
    try:
        result = function()
    except StopIteration as error:  # which no future can hold
        stopped = RuntimeError("a plain function raised StopIteration")
        stopped.__cause__ = error
        called.set_exception(stopped)
    except BaseException as error:  # noqa: BLE001  whatever it is belongs to the caller
        called.set_exception(error)
    else:
        called.set_result(result)
