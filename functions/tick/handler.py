"""Does what time brings about, when an alarm or a schedule calls."""

import logging
import os
from datetime import timedelta
from typing import Any

from durex_core.discovery import load_app
from durex_core.serverless.tick import tick
from durex_core.telemetry.emf import NAMESPACE, EmfMetrics

_log = logging.getLogger(__name__)
_app = load_app(os.environ["DUREX_APP"])
_metrics = EmfMetrics(_app.registry.queues, namespace=os.environ.get("DUREX_METRICS_NAMESPACE", NAMESPACE))


def handler(event: dict[str, Any] | None, _context: object) -> dict[str, Any]:
    """Do one round."""
    alarm = (event or {}).get("alarm")
    _log.info("called by %s", f"the alarm of {alarm}" if alarm else "the schedule")
    done = tick(_app.database, _app.registry, _app.wake, _app.retention, _app.surroundings.observers)
    _log.info("tick: %s", done)
    _measure()
    return done


def _measure() -> None:
    """Tell CloudWatch how much every queue has to do, and for how long it has waited."""
    stats = {queue.queue: queue for queue in _app.stats(finished_within=timedelta(0)).queues}
    for queue in _app.registry.queues:
        found = stats.get(queue)
        _metrics.queue_measured(
            queue, size=found.ready if found else 0, oldest_ready_age=found.oldest_ready_age if found else None
        )
    _metrics.flush()
