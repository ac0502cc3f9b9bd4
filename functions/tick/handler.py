"""Does, once a minute, what time brings about."""

import logging
import os
from typing import Any

from durex_core.discovery import load_app
from durex_core.serverless.tick import tick

_log = logging.getLogger(__name__)
_app = load_app(os.environ["DUREX_APP"])


def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Do one round."""
    done = tick(_app.database, _app.registry, _app.wake, _app.retention)
    _log.info("tick: %s", done)
    return done
