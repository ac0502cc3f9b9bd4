"""What a worker that really runs adds to the metrics, in Prometheus and in CloudWatch alike."""

import json
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from staging import Hand, wait_until

from durex_core import Durex
from durex_core.results import Repeat, Retry
from durex_core.telemetry.emf import EmfMetrics
from durex_core.telemetry.prometheus import PrometheusMetrics

COUNTS = ("started", "completed", "failed", "retried")
EXPECTED = {"complete": (1, 1, 0, 0), "fail": (3, 0, 1, 2), "ask_again": (2, 1, 0, 1), "repeat": (3, 3, 0, 0)}


@pytest.fixture
def app(tmp_path):
    """An application whose commands end in every way."""
    app = Durex(f"sqlite:///{tmp_path / 'durex.db'}")

    @app.command("complete", queue="work")
    def complete():
        return "done"

    @app.command("fail", queue="work", retries=2)
    def fail():
        raise ValueError

    @app.command("ask_again", queue="work", retries=1)
    def ask_again(ctx):
        return "done" if ctx.is_last_attempt else Retry()

    @app.command("repeat", queue="work")
    def repeat(times: int):
        return Repeat(delay=timedelta(0), payload=times - 1) if times else "done"

    yield app
    app.close()


def work(app, *commands) -> None:
    """Run commands to their end."""
    ids = [app.enqueue(name, payload).id for name, payload in commands]
    hand = Hand(app.worker())
    try:
        wait_until(lambda: all(app.get(command_id).state.is_terminal for command_id in ids))
    finally:
        hand.stop()


def test_a_worker_counts_what_becomes_of_its_commands(app, capsys):
    registry, emf = CollectorRegistry(), EmfMetrics(app.registry.queues)
    app.observe(PrometheusMetrics(registry))
    app.observe(emf)

    work(app, ("complete", None), ("fail", None), ("ask_again", None), ("repeat", 2))
    emf.flush()

    def count(name: str, command: str) -> float:
        return registry.get_sample_value(f"durex_commands_{name}_total", {"command": command}) or 0

    assert {command: tuple(count(name, command) for name in COUNTS) for command in EXPECTED} == EXPECTED
    for command, (started, *_) in EXPECTED.items():
        assert registry.get_sample_value("durex_command_duration_seconds_count", {"command": command}) == started
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert line["queue"] == "work"
    assert tuple(sum(line[f"Commands{name.capitalize()}"]) for name in COUNTS) == tuple(
        sum(column) for column in zip(*EXPECTED.values(), strict=True)
    )
    assert len(line["CommandDuration"]) == sum(started for started, *_ in EXPECTED.values())
    assert all(0 < duration < 60_000 for duration in line["CommandDuration"])
