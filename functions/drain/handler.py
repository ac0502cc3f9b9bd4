"""Stores the commands that were accepted while the database was away."""

import logging
import os
from typing import Any

from durex_core.aws.wake import SqsDeadLetters
from durex_core.discovery import load_app
from durex_core.serverless.batch import Event
from durex_core.serverless.drain import DrainFunction

_log = logging.getLogger(__name__)


def _keep(body: str) -> bool:
    _log.error("no accepted command, and no dead letter queue for it; it comes again: %r", body)
    return False


_app = load_app(os.environ["DUREX_APP"])
_dead_letter_url = os.environ.get("DUREX_DEAD_LETTER_URL")
_drain = DrainFunction(
    _app.database,
    _app.wake,
    observers=_app.surroundings.observers,
    reject=SqsDeadLetters(_dead_letter_url).reject if _dead_letter_url else _keep,
)


def handler(event: Event, _context: object) -> dict[str, Any]:
    """Drain a batch of messages."""
    return _drain.invoke(event)
