"""Keeps accepted commands as text, as the ingest queue does."""

from durex_core.aws.ingest import MAX_BYTES, IngestMessage
from durex_core.errors import TooLargeToKeep


class Keeper:
    """Stands for SQS while the database is away."""

    def __init__(self, *, works: bool = True) -> None:
        """Begin with nothing; one that does not work keeps nothing."""
        self.bodies: list[str] = []
        self._works = works

    def send(self, message: IngestMessage) -> bool:
        """Keep a command."""
        size = len(message.encode().encode())
        if size > MAX_BYTES:
            raise TooLargeToKeep(size, MAX_BYTES)
        self.bodies += [message.encode()] if self._works else []
        return self._works

    @property
    def messages(self) -> list[IngestMessage]:
        """What is kept, as a drain reads it."""
        return [IngestMessage.decode(body) for body in self.bodies]
