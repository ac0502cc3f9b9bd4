"""Metrics for CloudWatch: gathered during an invocation, and written to the log as EMF when it ends.

CloudWatch bills every set of dimensions as a metric of its own, for each hour in which it hears of it. So `queue` is
the only dimension, its values are the queues that are known, and what did not happen is not written.
"""

import json
import logging
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from durex_core.model import Command
from durex_core.observer import Observer
from durex_core.rules.outcomes import Settlement
from durex_core.telemetry.measures import Measured, measure

NAMESPACE = "durex"

METRICS = {
    "CommandsStarted": "Count",
    "CommandsCompleted": "Count",
    "CommandsFailed": "Count",
    "CommandsRetried": "Count",
    "CommandDuration": "Milliseconds",
    "QueueSize": "Count",
    "OldestReadyAge": "Seconds",
}
"""The unit of each metric."""

OTHER = "other"
"""The queue under which everything is counted that belongs to none of the known ones."""

VALUES_PER_LINE = 100
"""How many values of a metric EMF takes in one line."""

MAX_DURATIONS = 10_000
"""How many durations of a queue are gathered at most: one more is written at once, so that memory stays flat."""

_log = logging.getLogger(__name__)

Values = dict[str, list[float]]


class EmfMetrics(Observer):
    """Counts what this process runs, by queue, until `flush` writes it to standard output: one line for each queue.

    Call `flush` at the end of every invocation. Needs AWS Lambda Powertools, which it loads when it first writes.
    """

    def __init__(self, queues: Iterable[str], *, namespace: str = NAMESPACE) -> None:
        """Tell the queues apart that are named here; any other is counted as `other`.

        Raises:
            ImportError: Powertools is not installed.
            TypeError: the queues are one text.
            ValueError: the namespace is empty.
        """
        if find_spec("aws_lambda_powertools") is None:
            raise ImportError('aws-lambda-powertools is not installed; EMF metrics need: pip install "durex-core[aws]"')
        if isinstance(queues, str):
            raise TypeError(f"queues is one text, {queues!r}: give a list of queues")
        if not namespace.strip():
            raise ValueError("the namespace is empty: CloudWatch refuses metrics without one")
        self._queues = frozenset(queues)
        self._namespace = namespace
        self._lock = threading.Lock()
        self._gathered: defaultdict[str, _Gathered] = defaultdict(_Gathered)

    def started(self, command: Command) -> None:
        """Count the attempt."""
        with self._lock:
            self._of(command.queue).counts["CommandsStarted"] += 1

    def settled(self, settlement: Settlement, seconds: float) -> None:
        """Count how it ended, and how long that took."""
        measured = measure(settlement, seconds)
        if measured != Measured():
            with self._lock:
                is_full = self._of(settlement.command.queue).add(measured)
            if is_full:
                self.flush()

    def queue_measured(self, queue: str, *, size: int, oldest_ready_age: timedelta | None = None) -> None:
        """Take note of how many commands of a known queue wait, and for how long the oldest ready one has.

        The last call before a flush counts. Leave out the age if none is ready: nothing is late then.
        """
        if queue in self._queues:
            with self._lock:
                self._of(queue).size = size
                self._of(queue).oldest_ready_age = oldest_ready_age or timedelta(0)

    def flush(self) -> None:
        """Write what happened since the last flush, if anything did. It never raises: metrics end no invocation."""
        with self._lock:
            gathered, self._gathered = self._gathered, defaultdict(_Gathered)
        try:
            for queue in sorted(gathered):
                for values in gathered[queue].lines():
                    _write(self._namespace, queue, values)
        except Exception:  # noqa: BLE001  whatever it is, the commands of the invocation are settled
            _log.exception("the metrics of this invocation could not be written")

    def _of(self, queue: str) -> "_Gathered":
        return self._gathered[queue if queue in self._queues else OTHER]


@dataclass(slots=True)
class _Gathered:
    """What happened in one queue since the last flush."""

    counts: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    size: int | None = None
    oldest_ready_age: timedelta | None = None

    def add(self, measured: Measured) -> bool:
        """Add a settlement, and say whether this is as much as should be held."""
        if measured.count is not None:
            self.counts[f"Commands{measured.count.capitalize()}"] += 1
        if measured.seconds is not None:
            self.milliseconds.append(round(measured.seconds * 1000, 3))
        return len(self.milliseconds) >= MAX_DURATIONS

    def lines(self) -> Iterator[Values]:
        """Yield the values of each line: all in the first, and the durations that it cannot hold in others."""
        durations = [
            {"CommandDuration": self.milliseconds[at : at + VALUES_PER_LINE]}
            for at in range(0, len(self.milliseconds), VALUES_PER_LINE)
        ]
        first, *others = durations or [{}]
        yield {name: [float(count)] for name, count in self.counts.items()} | dict(self._gauges()) | first
        yield from others

    def _gauges(self) -> Iterator[tuple[str, list[float]]]:
        if self.size is not None:
            yield "QueueSize", [self.size]
        if self.oldest_ready_age is not None:
            yield "OldestReadyAge", [self.oldest_ready_age.total_seconds()]


def _write(namespace: str, queue: str, values: Values) -> None:
    from aws_lambda_powertools.metrics import EphemeralMetrics  # noqa: PLC0415  slow, and of no use before there is news
    from aws_lambda_powertools.metrics.functions import is_metrics_disabled  # noqa: PLC0415

    # An empty service keeps POWERTOOLS_SERVICE_NAME from becoming a second dimension. Adding value by value would
    # format the whole set for Powertools' debug log each time.
    metrics: dict[str, Any] = {name: {"Unit": METRICS[name], "Value": some} for name, some in values.items()}
    line = EphemeralMetrics(metric_set=metrics, dimension_set={"queue": queue}, namespace=namespace, service="")
    if not is_metrics_disabled():
        # In one piece: another thread's output in the middle of it would cost the line.
        sys.stdout.write(json.dumps(line.serialize_metric_set(), separators=(",", ":")) + "\n")
        sys.stdout.flush()
