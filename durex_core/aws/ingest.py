"""Commands on their way through SQS, accepted while the database was away; the drain stores them.

A message holds the command as it is to be stored, with its handler's defaults: whoever drains it need not know the
handler, which another version of the application may have changed.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from durex_core import strict_json
from durex_core.aws.clients import client
from durex_core.errors import TooLargeToKeep
from durex_core.fields import AwareDatetime, adapter
from durex_core.model import NO_EXTRAS, NewCommand
from durex_core.records import record

MAX_BYTES = 1_048_576
"""The longest body that SQS takes."""

IN_DOUBT = timedelta(seconds=30)
"""How long a message is held back whose command may be stored already: longer than the server lets a transaction of
the role live that tried (`store/roles.py`), so that the drain sees how that one ended."""

_VERSION = 1

_log = logging.getLogger(__name__)


class MalformedMessage(ValueError):
    """A message that no durex wrote; it belongs in the dead letter queue."""


class NewerMessage(ValueError):
    """A message of a later version of durex; it stays where it is until that version drains it."""


@record
class IngestMessage:
    """A command that was accepted, and when.

    With `tried` it may be stored already, under that id: the attempt to store it ended without an answer.
    """

    command: NewCommand
    accepted_at: AwareDatetime
    tried: UUID | None = None

    def encode(self) -> str:
        """Return the body of the message."""
        text = strict_json.encode({"v": _VERSION, **adapter(IngestMessage).dump_python(self, mode="json")})
        # The only characters of Unicode that SQS refuses and JSON need not escape; they stand in strings alone.
        return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")

    @classmethod
    def decode(cls, body: str) -> "IngestMessage":
        """Read the body of a message.

        Raises:
            MalformedMessage: it is none of ours.
            NewerMessage: it is, of a later version.
        """
        document = _parsed(body)
        if document.get("v") != _VERSION:
            raise NewerMessage(f"a message of version {document['v']}; this durex reads version {_VERSION}")
        try:
            strict_json.encode(document)
            message: IngestMessage = adapter(IngestMessage).validate_python(document)
        except (ValidationError, strict_json.NotPlainJson) as error:
            raise MalformedMessage(f"no accepted command: {error}") from None
        extras = NO_EXTRAS if message.command.extras == NO_EXTRAS else message.command.extras
        return replace(message, command=replace(message.command, extras=extras))


class SqsIngest:
    """Keeps commands in a queue."""

    def __init__(self, url: str, *, sqs: Callable[[], Any] = lambda: client("sqs")) -> None:
        """Take the URL of the queue; `sqs` returns a client of SQS."""
        self._url = url
        self._sqs = sqs

    def send(self, message: IngestMessage) -> bool:
        """Put a command into the queue, and say whether it is there.

        Raises:
            TooLargeToKeep: it is longer than SQS takes.
        """
        body = message.encode()
        size = len(body.encode())
        if size > MAX_BYTES:
            raise TooLargeToKeep(size, MAX_BYTES)
        delay = IN_DOUBT if message.tried else timedelta(0)
        try:
            self._sqs().send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=int(delay.total_seconds()))
        except Exception:  # noqa: BLE001  whatever it is, the caller is told that nothing was accepted
            _log.exception("command %s could not be kept until the database is back", message.command.id)
            return False
        return True


def _parsed(body: str) -> dict[str, Any]:
    """Return the JSON object of a body with a version."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"v": int(version)} if version >= _VERSION:
            return dict(document)
    raise MalformedMessage(f"no accepted command: {body[:200]!r}")
