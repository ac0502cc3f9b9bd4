"""Permanent commands: always one of them there, however many processes see to it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from durex_core.errors import DatabaseBusy, DatabaseError, DatabaseUnavailable, InvalidSpec
from durex_core.model import Enqueued
from durex_core.observer import Observers
from durex_core.operations.enqueue import enqueue
from durex_core.operations.wake import Wake
from durex_core.registry import Registry
from durex_core.spec import Spec
from durex_core.store import commands
from durex_core.store.database import Database

_log = logging.getLogger(__name__)


PAUSE = timedelta(minutes=1)
"""How long a permanent command rests between its end and its new beginning: one that fails at once must not spin."""


def ensure(
    database: Database,
    registry: Registry,
    wake: Wake,
    *,
    observers: Observers,
    delay: timedelta | None = None,
) -> Sequence[Enqueued]:
    """Enqueue each permanent command that has no live one, to run after a delay; return those that were created.

    Done when a worker starts, once a minute or tick, and on AWS when one ended: so one that failed, or was cancelled,
    is back by then. To be rid of one, take `permanent` from its handler first.
    """
    specs = [replace(spec, delay=delay) for spec in registry.permanent]
    try:
        missing = _missing(database, specs) if specs else []
        enqueued = enqueue(database, registry, wake, missing, observers=observers)
    except (DatabaseUnavailable, DatabaseBusy):
        raise
    except (InvalidSpec, DatabaseError):
        _log.exception("the permanent commands cannot be started")
        return []
    return [answer for answer in enqueued if answer.created]


def _missing(database: Database, specs: Sequence[Spec]) -> list[Spec]:
    with database.autocommit() as connection:
        live = commands.unique_key_holders(connection, [spec.unique_key for spec in specs if spec.unique_key])
    return [spec for spec in specs if spec.unique_key not in live]
