"""The estimate that synth prints."""

import re

import pytest

from infra import cost
from infra.manifest import Manifest
from infra.monitoring import alarms
from infra.plan import plan_queues
from infra.settings import Settings


def report(manifest: Manifest, **settings: object) -> str:
    chosen = Settings(**settings)
    return cost.report(chosen, plan_queues(chosen, manifest))


def test_a_deployment_that_sleeps_pays_for_its_sweeps(example: Manifest):
    told = report(example)

    assert "0.83  database, awake for 7 minutes of every 6 hours (0.5 ACU)" in told
    assert "0.02  tick, every 6 hours" in told
    assert "work around the clock keeps it awake,\n  which costs $43.80 a month or more" in told


def test_frequent_sweeps_and_late_pauses_cost_more(example: Manifest):
    assert "4.99  database, awake for 7 minutes of every hour (0.5 ACU)" in report(example, sweep_hours=1)
    assert "7.52  database, awake for 62 minutes of every 6 hours" in report(example, auto_pause_seconds=3600)


def test_the_tick_that_keeps_the_database_awake_is_not_hidden(example: Manifest):
    told = report(example, sleeping=False)
    asleep = re.search(r"([\d.]+)  dollars in all", report(example))

    assert "43.80  database, kept awake by the tick (0.5 ACU)" in told
    assert "0.08  tick, each minute" in told
    assert "the tick of each minute keeps the database awake, $43.80 of the month" in told
    assert asleep
    assert f"with sleeping=true the deployment would cost ${asleep[1]} at rest" in told


def test_a_minimum_that_stands_in_the_way_of_sleep_is_named(example: Manifest):
    told = report(example, sleeping=False, min_capacity=2)

    assert "175.20  database, kept awake by the tick (2 ACU)" in told
    assert "with sleeping=true and min_capacity=0 the deployment" in told


def test_idle_is_the_sum_of_its_lines(example: Manifest):
    plans = plan_queues(Settings(), example)

    lines = {line.item: line.dollars for line in cost.idle_month(Settings(), plans)}

    assert lines["polling the wake queues and the ingest queue"] == pytest.approx((len(plans) + 1) * 0.2628)
    assert 5 < sum(lines.values()) < 15
    assert f"{sum(lines.values()):,.2f}  dollars in all" in cost.report(Settings(), plans)


def test_a_million_commands_cost_a_few_dollars(example: Manifest):
    lines = list(cost.million_commands(Settings(), plan_queues(Settings(), example)))

    assert 2.9 < sum(line.dollars for line in lines) < 3.8  # what the field's own table says for single enqueues


def test_a_higher_minimum_capacity_is_paid_for():
    settings = Settings(min_capacity=2, sleeping=False)

    assert cost.awake_dollars(settings) == pytest.approx(2 * 0.12 * 730)


def test_every_alarm_of_the_template_is_counted(product, example: Manifest):
    assert len(product.all("AWS::CloudWatch::Alarm")) == alarms(Settings(), len(example.queues))


def test_every_alarm_of_a_deployment_that_does_not_sleep_is_counted(awake, example: Manifest):
    assert len(awake.all("AWS::CloudWatch::Alarm")) == alarms(Settings(sleeping=False), len(example.queues))
