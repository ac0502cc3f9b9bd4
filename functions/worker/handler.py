"""Runs the commands of one queue when their wakes come."""

import logging
import os
from datetime import timedelta
from typing import Any

from durex_core.aws.wake import SqsDeadLetters
from durex_core.discovery import load_app
from durex_core.serverless.batch import Event
from durex_core.serverless.worker import Invocation, WorkerFunction
from durex_core.telemetry.emf import NAMESPACE, EmfMetrics

_log = logging.getLogger(__name__)


def _drop(body: str) -> bool:
    _log.error("no wake, and no dead letter queue to keep it in: %r", body)
    return True


_app = load_app(os.environ["DUREX_APP"])
_dead_letter_url = os.environ.get("DUREX_DEAD_LETTER_URL")
_metrics = EmfMetrics(_app.registry.queues, namespace=os.environ.get("DUREX_METRICS_NAMESPACE", NAMESPACE))
_app.observe(_metrics)
_worker = WorkerFunction(
    _app.database,
    _app.registry,
    _app.wake,
    queue=os.environ["DUREX_QUEUE"],
    reject=SqsDeadLetters(_dead_letter_url).reject if _dead_letter_url else _drop,
    concurrency=int(os.environ.get("DUREX_CONCURRENCY", "10")),
    lease_margin=timedelta(seconds=float(os.environ.get("DUREX_LEASE_MARGIN_SECONDS", "10"))),
    surroundings=_app.surroundings,
    flush=_metrics.flush,
)


def handler(event: Event, context: Invocation) -> dict[str, Any]:
    """Work off a batch of wakes."""
    return _worker.invoke(event, context)
