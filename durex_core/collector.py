"""The garbage collector, while many records are made that nobody could collect yet."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CALM = (20_000, 20, 50)

_lock = threading.Lock()
_calm = 0
_before = gc.get_threshold()


@contextmanager
def calm_collector() -> Iterator[None]:
    """Let the collector of this process look less often during the block, as long as it looks as often as it comes.

    A worker holds a thousand claimed commands for a moment, and whoever enqueues many gets an answer for each. At
    Python's own settings the collector goes through them again and again, a fifth of the time, and there is nothing to
    collect.
    """
    global _calm, _before  # noqa: PLW0603  the collector is the process's
    with _lock:
        if not _calm:
            _before = gc.get_threshold()
            if _before[0] and _before < _CALM:
                gc.set_threshold(*_CALM)
        _calm += 1
    try:
        yield
    finally:
        with _lock:
            _calm -= 1
            if not _calm:
                gc.set_threshold(*_before)
