"""The drain function: commands that were accepted while the database was away are stored now that it is back.

A message is taken out of its queue when its command is stored, and not before: an invocation that finds the database
still away, or is killed, leaves it for another one. Storing it twice changes nothing.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from durex_core.aws.ingest import IngestMessage, MalformedMessage, NewerMessage
from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.observer import Observer
from durex_core.operations.ingest import drain as store
from durex_core.operations.wake import Wake
from durex_core.serverless.batch import Event, failures
from durex_core.serverless.patience import wait_for_database
from durex_core.store.database import Database

PATIENCE_SECONDS = 35.0
"""How long a drain waits for a database that resumes."""

_log = logging.getLogger(__name__)


class DrainFunction:
    """The drain, built once for each execution environment."""

    def __init__(
        self,
        database: Database,
        wake: Wake,
        *,
        observers: Observer,
        reject: Callable[[str], bool],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Take where commands go, and what takes the bodies of malformed messages and says whether it has them."""
        self._database = database
        self._wake = wake
        self._observers = observers
        self._reject = reject
        self._patience_seconds = patience_seconds

    def invoke(self, event: Event) -> dict[str, Any]:
        """Store what a batch of messages holds, and say which of them are to come again."""
        messages: dict[str, IngestMessage] = {}
        kept: list[str] = []
        for record in event["Records"]:
            message_id = record["messageId"]
            try:
                messages[message_id] = IngestMessage.decode(record["body"])
            except NewerMessage as error:
                _log.error("message %s is kept: %s", message_id, error)
                kept.append(message_id)
            except MalformedMessage:
                kept += [] if self._reject(record["body"]) else [message_id]
        return failures([*kept, *self._drain(messages)])

    def _drain(self, messages: Mapping[str, IngestMessage]) -> list[str]:
        """Store what can be stored, and return the ids of the messages that are to come again."""
        if not messages:
            return []
        try:
            wait_for_database(self._database, seconds=self._patience_seconds)
            return self._store(messages)
        except (DatabaseUnavailable, DatabaseBusy) as error:
            # Those of them that were stored before that come again in vain.
            _log.warning("%s commands are kept: %s", len(messages), error)
            return list(messages)

    def _store(self, messages: Mapping[str, IngestMessage]) -> list[str]:
        """Store commands together, or one by one if one of them cannot be: it must not keep back the others."""
        try:
            is_done = store(self._database, self._wake, messages.values(), observers=self._observers)
        except (DatabaseUnavailable, DatabaseBusy):
            raise
        except Exception:  # noqa: BLE001  whatever it is, the message stays and comes again
            if len(messages) == 1:
                _log.exception("a command cannot be stored and is kept")
                return list(messages)
            return [kept for message_id in messages for kept in self._store({message_id: messages[message_id]})]
        return [] if is_done else list(messages)
