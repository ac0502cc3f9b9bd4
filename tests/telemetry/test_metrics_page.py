"""docs/metrics.md names the metrics that there are."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from durex_core.telemetry.emf import METRICS
from durex_core.telemetry.prometheus import PrometheusMetrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def column(number: int) -> set[str]:
    """The names in a column of the page's table."""
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("|")][2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row[number])}


def test_the_page_names_every_metric_of_prometheus():
    registry = CollectorRegistry()
    PrometheusMetrics(registry, queue_size=lambda: 0)
    counted = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}

    assert column(0) == counted


def test_the_page_names_every_metric_of_cloudwatch():
    assert column(1) == set(METRICS)
