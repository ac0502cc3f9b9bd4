"""Permanent commands: always one of them there, however many processes see to it."""

import logging
from collections.abc import Sequence

from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable, InvalidSpec
from durex_core.model import Enqueued
from durex_core.observer import Observer
from durex_core.operations.enqueue import enqueue
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.store.database import Database

_log = logging.getLogger(__name__)


def ensure(database: Database, registry: Registry, wake: Wake, *, observers: Observer) -> Sequence[Enqueued]:
    """Enqueue each permanent command that has no live one; return those that were created.

    Done when a worker starts and once a minute or tick: so one that failed, or was cancelled, is back by then. To be
    rid of one, take `permanent` from its handler first.
    """
    specs = registry.permanent
    try:
        enqueued = enqueue(database, registry, wake, specs, observers=observers) if specs else []
    except (DatabaseUnavailable, DatabaseBusy):
        raise
    except (InvalidSpec, DatabaseError):
        _log.exception("the permanent commands cannot be started")
        return []
    return [answer for answer in enqueued if answer.created]
