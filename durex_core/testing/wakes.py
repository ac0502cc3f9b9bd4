"""How the application under test wakes workers: not at all, or by running what it enqueued before it goes on."""

import threading
from collections.abc import Callable, Mapping

from durex_core.rules.wakes import Due
from durex_core.store.database import Connection


class QuietWake:
    """Wakes nobody: the test says when commands run."""

    def ahead(self, due: Mapping[str, Due]) -> bool:  # noqa: ARG002  nobody is told
        """Do nothing."""
        return True

    def ready(self, due: Mapping[str, Due]) -> bool:  # noqa: ARG002  nobody is told
        """Do nothing."""
        return True

    def soon(self, due: Mapping[str, Due], connection: Connection) -> bool:  # noqa: ARG002  nobody is told
        """Do nothing."""
        return True


class InlineWake:
    """Runs what is ready before `enqueue` returns.

    While something runs already, as when a handler enqueues, the one that runs it goes on until this is done, too.
    """

    def __init__(self, run: Callable[[], object], busy: threading.Lock) -> None:
        """Call `run` while holding `busy`."""
        self._run = run
        self._busy = busy
        self._has_news = threading.Event()

    def ahead(self, due: Mapping[str, Due]) -> bool:  # noqa: ARG002  it is not committed
        """Do nothing: what is not committed cannot run."""
        return True

    def soon(self, due: Mapping[str, Due], connection: Connection) -> bool:  # noqa: ARG002  it is not committed
        """Do nothing: what is not committed cannot run."""
        return True

    def ready(self, due: Mapping[str, Due]) -> bool:  # noqa: ARG002  the database knows what is due
        """Run, or leave it to whoever is at it."""
        self._has_news.set()
        # Whoever lets go looks again for news: what came in between is not left lying.
        while self._has_news.is_set() and self._busy.acquire(blocking=False):
            try:
                self._has_news.clear()
                self._run()
            finally:
                self._busy.release()
        return True
