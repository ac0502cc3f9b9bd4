"""Metrics for Prometheus: counts and durations by command, and the size of the queue, read when it is asked for."""

import logging
from collections.abc import Callable, Iterable, Sequence

from durex_core.model import Command
from durex_core.observer import Observer
from durex_core.rules.outcomes import Settlement
from durex_core.telemetry.measures import Count, measure

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.registry import Collector
except ImportError as missing:
    raise ImportError(
        f'{missing.name} is not installed; Prometheus metrics need: pip install "durex-core[metrics]"'
    ) from missing

_log = logging.getLogger(__name__)

_LABELS = ("command",)
_HELP = {
    Count.COMPLETED: "Runs that completed",
    Count.FAILED: "Commands that failed for good",
    Count.RETRIED: "Attempts that failed and are followed by another",
}

ReadSize = Callable[[], int]


class PrometheusMetrics(Observer):
    """Counts what this process runs, under the label `command`, and shows how many commands wait.

    `queue_size` may also be set later, once there is an application to ask; until then that gauge is left out.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        namespace: str = "durex",
        subsystem: str = "",
        buckets: Sequence[float] = Histogram.DEFAULT_BUCKETS,
        queue_size: ReadSize | None = None,
    ) -> None:
        """Register the metrics with a registry (default: the process's own).

        Args:
            registry: where they are registered.
            namespace: what every name begins with.
            subsystem: what follows the namespace in every name.
            buckets: the upper bounds of the durations, in seconds, rising.
            queue_size: says how many commands wait; it is called at each scrape, from the scraper's thread.

        Raises:
            ValueError: the registry has metrics of these names, or a name or the buckets cannot be.
        """
        self.queue_size = queue_size

        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, _LABELS, namespace=namespace, subsystem=subsystem, registry=None)

        self._started = counter("commands_started", "Attempts that began")
        self._counters = {count: counter(f"commands_{count}", text) for count, text in _HELP.items()}
        self._durations = Histogram(
            "command_duration_seconds",
            "How long handlers ran",
            _LABELS,
            namespace=namespace,
            subsystem=subsystem,
            registry=None,
            buckets=tuple(buckets),
        )
        size = _QueueSize("_".join(filter(None, (namespace, subsystem, "queue_size"))), self._read_size)
        _register(registry or REGISTRY, self._started, *self._counters.values(), self._durations, size)

    def started(self, command: Command) -> None:
        """Count the attempt."""
        self._started.labels(command.name).inc()

    def settled(self, settlement: Settlement, seconds: float) -> None:
        """Count how it ended, and how long that took."""
        measured = measure(settlement, seconds)
        if measured.count is not None:
            self._counters[measured.count].labels(settlement.command.name).inc()
        if measured.seconds is not None:
            self._durations.labels(settlement.command.name).observe(measured.seconds)

    def _read_size(self) -> float | None:
        return None if self.queue_size is None else float(self.queue_size())


class _QueueSize:
    """A gauge that is read when it is scraped, and left out when it cannot be: the others are shown all the same."""

    def __init__(self, name: str, read: Callable[[], float | None]) -> None:
        self._name = name
        self._read = read

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Say what it is, without a value: registering it reads nothing."""
        yield GaugeMetricFamily(self._name, "Commands that wait to run")

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Read it."""
        try:
            size = self._read()
        except Exception:  # noqa: BLE001  a database that is away must not hide what this process knows by itself
            _log.exception("the size of the queue could not be read; the scrape goes on without %s", self._name)
            return
        if size is not None:
            yield GaugeMetricFamily(self._name, "Commands that wait to run", value=size)


def _register(registry: CollectorRegistry, *collectors: Collector) -> None:
    """Register all of them, or none."""
    registered = []
    try:
        for collector in collectors:
            registry.register(collector)
            registered.append(collector)
    except ValueError as error:
        for collector in registered:
            registry.unregister(collector)
        raise ValueError(
            f"{error}: give each PrometheusMetrics a registry, a namespace or a subsystem of its own"
        ) from error
