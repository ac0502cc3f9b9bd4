"""Connections that give a server up that does not answer: for whoever has something better to do than to wait."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

from durex_core.clock import monotonic_seconds

T = TypeVar("T")


class NoAnswer(psycopg.OperationalError):
    """A server took too long over an answer."""


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself if an answer takes longer than `answer_seconds`.

    Whether the server still does what it was asked is then unknown, as with every connection that breaks.
    """

    answer_seconds: float

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        """Wait as psycopg does, which looks up every tenth of a second, but not for ever."""
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, gen: PQGen[T]) -> PQGen[T]:
        deadline = monotonic_seconds() + self.answer_seconds
        try:
            wanted = next(gen)
            while True:
                is_ready = yield wanted
                if not is_ready and monotonic_seconds() > deadline:
                    self.close()
                    raise NoAnswer(f"the server did not answer within {self.answer_seconds:g} s")
                wanted = gen.send(is_ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def opened(url: str, *, answer_seconds: float | None, **options: Any) -> psycopg.Connection[Any]:
    """Open a connection, an impatient one if it is said how long an answer may take."""
    if answer_seconds is None:
        return psycopg.connect(url, **options)
    connection = ImpatientConnection.connect(url, **options)
    connection.answer_seconds = answer_seconds
    return connection
