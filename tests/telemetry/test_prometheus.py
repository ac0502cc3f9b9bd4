"""Prometheus metrics, as a scrape sees them: in the text of a real registry."""

import subprocess
import sys
from datetime import timedelta
from urllib.request import urlopen

import pytest
from factories import claimed_command, error_info
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from durex_core.model import State
from durex_core.rules.outcomes import Settlement
from durex_core.telemetry.prometheus import PrometheusMetrics

COMMAND = claimed_command(name="charge")
COMPLETED = Settlement(COMMAND, State.COMPLETED, "completed")
FAILED = Settlement(COMMAND, State.DEAD_LETTER, "failed", error=error_info())
RETRIED = Settlement(COMMAND, State.SCHEDULED, "failed", error=error_info(), delay=timedelta(seconds=1))
RELEASED = Settlement(COMMAND, State.PENDING, "released", error=error_info(), gives_back=True)


@pytest.fixture
def registry():
    """A registry of this test alone."""
    return CollectorRegistry()


def scrape(registry) -> dict[str, float]:
    """The samples of a scrape, by name and labels, without the moments of creation."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples]
    return {
        f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sample.labels.items())}}}": sample.value
        for sample in samples
        if not sample.name.endswith("_created")
    }


def types(registry) -> dict[str, tuple[str, set[str]]]:
    """The type and the labels of each metric of a scrape."""
    return {
        family.name: (family.type, {label for sample in family.samples for label in sample.labels})
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        if not family.name.endswith("_created")
    }


def test_the_names_the_types_and_the_labels_are_these(registry):
    metrics = PrometheusMetrics(registry, queue_size=lambda: 7)
    metrics.started(COMMAND)
    for settlement in (COMPLETED, FAILED, RETRIED):
        metrics.settled(settlement, 0.2)

    assert types(registry) == {  # the parser takes the _total off a counter's name
        "durex_commands_started": ("counter", {"command"}),
        "durex_commands_completed": ("counter", {"command"}),
        "durex_commands_failed": ("counter", {"command"}),
        "durex_commands_retried": ("counter", {"command"}),
        "durex_command_duration_seconds": ("histogram", {"command", "le"}),
        "durex_queue_size": ("gauge", set()),
    }
    for name in ("started", "completed", "failed", "retried"):
        assert f'durex_commands_{name}_total{{command="charge"}} 1.0\n' in generate_latest(registry).decode()


def test_each_end_is_counted_under_its_command(registry):
    metrics = PrometheusMetrics(registry)
    other = claimed_command(name="ship")
    for command in (COMMAND, COMMAND, other):
        metrics.started(command)
    for settlement in (RETRIED, FAILED, RELEASED, Settlement(other, State.COMPLETED, "completed")):
        metrics.settled(settlement, 0.2)

    seen = scrape(registry)
    assert {sample: value for sample, value in seen.items() if "_total" in sample} == {
        "durex_commands_started_total{command=charge}": 2,
        "durex_commands_started_total{command=ship}": 1,
        "durex_commands_retried_total{command=charge}": 1,
        "durex_commands_failed_total{command=charge}": 1,
        "durex_commands_completed_total{command=ship}": 1,
    }


def test_the_durations_fall_into_the_buckets_of_prometheus(registry):
    metrics = PrometheusMetrics(registry)
    metrics.settled(COMPLETED, 0.02)
    metrics.settled(FAILED, 3)
    metrics.settled(RELEASED, 9)
    metrics.settled(Settlement(COMMAND, State.DEAD_LETTER, "crashed", error=error_info()), 0)

    seen = scrape(registry)
    name = "durex_command_duration_seconds"
    bounds = [s.removeprefix(f"{name}_bucket{{command=charge,le=").rstrip("}") for s in seen if "_bucket" in s]
    assert [float(bound) for bound in bounds] == list(Histogram.DEFAULT_BUCKETS)
    assert seen[f"{name}_bucket{{command=charge,le=0.01}}"] == 0
    assert seen[f"{name}_bucket{{command=charge,le=0.025}}"] == 1
    assert seen[f"{name}_bucket{{command=charge,le=5.0}}"] == 2
    assert seen[f"{name}_count{{command=charge}}"] == 2
    assert seen[f"{name}_sum{{command=charge}}"] == pytest.approx(3.02)


def test_namespace_subsystem_and_buckets_can_be_chosen(registry):
    metrics = PrometheusMetrics(registry, namespace="shop", subsystem="jobs", buckets=[0.1, 1], queue_size=lambda: 3)
    metrics.started(COMMAND)
    metrics.settled(COMPLETED, 0.5)

    assert scrape(registry) == {
        "shop_jobs_commands_started_total{command=charge}": 1,
        "shop_jobs_commands_completed_total{command=charge}": 1,
        "shop_jobs_command_duration_seconds_bucket{command=charge,le=0.1}": 0,
        "shop_jobs_command_duration_seconds_bucket{command=charge,le=1.0}": 1,
        "shop_jobs_command_duration_seconds_bucket{command=charge,le=+Inf}": 1,
        "shop_jobs_command_duration_seconds_count{command=charge}": 1,
        "shop_jobs_command_duration_seconds_sum{command=charge}": 0.5,
        "shop_jobs_queue_size{}": 3,
    }


def test_without_a_namespace_the_names_begin_with_what_they_are(registry):
    PrometheusMetrics(registry, namespace="", queue_size=lambda: 3)

    assert scrape(registry) == {"queue_size{}": 3}


def test_the_size_of_the_queue_is_read_at_each_scrape_and_not_before(registry):
    sizes = iter([4, 9])
    PrometheusMetrics(registry, queue_size=lambda: next(sizes))

    assert [scrape(registry) for _ in range(2)] == [{"durex_queue_size{}": 4}, {"durex_queue_size{}": 9}]


def test_a_gauge_that_nobody_feeds_is_not_shown_until_somebody_does(registry):
    metrics = PrometheusMetrics(registry)
    before = types(registry)

    metrics.queue_size = lambda: 12

    assert "durex_queue_size" not in before
    assert scrape(registry) == {"durex_queue_size{}": 12}


@pytest.mark.parametrize("broken", [lambda: 1 / 0, lambda: None, lambda: "many"])
def test_a_size_that_cannot_be_read_costs_the_scrape_that_gauge_alone(registry, caplog, broken):
    metrics = PrometheusMetrics(registry, queue_size=broken)
    metrics.started(COMMAND)

    assert scrape(registry) == {"durex_commands_started_total{command=charge}": 1}
    (record,) = caplog.records
    assert "the size of the queue could not be read" in record.message
    assert record.exc_info is not None


def test_a_worker_can_serve_them(registry):
    PrometheusMetrics(registry, queue_size=lambda: 5).started(COMMAND)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert 'durex_commands_started_total{command="charge"} 1.0' in text
    assert "durex_queue_size 5.0" in text


def test_the_registry_of_the_process_is_the_default_and_registering_reads_nothing():
    metrics = PrometheusMetrics(namespace="only_in_this_test", queue_size=lambda: pytest.fail("it was read"))
    try:
        metrics.started(COMMAND)
        name = "only_in_this_test_commands_started_total"
        assert REGISTRY.get_sample_value(name, {"command": "charge"}) == 1
    finally:
        for collector in [c for c, n in REGISTRY._collector_to_names.items() if "only_in_this_test" in str(n)]:
            REGISTRY.unregister(collector)


def test_two_of_them_do_not_fit_into_one_registry_and_the_error_says_how_they_do(registry):
    PrometheusMetrics(registry)

    with pytest.raises(ValueError, match="a registry, a namespace or a subsystem of its own"):
        PrometheusMetrics(registry)
    PrometheusMetrics(registry, subsystem="other")


def test_a_refusal_leaves_the_registry_as_it_was(registry):
    taken = Counter("durex_queue_size", "Somebody else's", registry=registry)

    with pytest.raises(ValueError, match="durex_queue_size"):
        PrometheusMetrics(registry)
    registry.unregister(taken)
    PrometheusMetrics(registry)


@pytest.mark.parametrize("buckets", [[1, 0.1], []])
def test_buckets_that_cannot_be_are_refused(registry, buckets):
    with pytest.raises(ValueError):
        PrometheusMetrics(registry, buckets=buckets)


def test_without_the_package_the_import_says_what_to_install():
    code = "import sys; sys.modules['prometheus_client'] = None; import durex_core.telemetry.prometheus"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert "ImportError: prometheus_client is not installed" in ended.stderr
    assert 'pip install "durex-core[metrics]"' in ended.stderr
