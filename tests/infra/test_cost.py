"""The estimate that synth prints."""

import pytest

from infra import cost
from infra.manifest import Manifest
from infra.monitoring import ALARMS, ALARMS_PER_QUEUE
from infra.plan import plan_queues
from infra.settings import Settings


def test_the_tick_that_keeps_the_database_awake_is_not_hidden(example: Manifest):
    settings = Settings()

    report = cost.report(settings, plan_queues(settings, example))

    assert "43.80  database, kept awake by the tick (0.5 ACU)" in report
    assert "the tick of each minute keeps the database awake, $43.80 of the month" in report


def test_idle_is_the_sum_of_its_lines(example: Manifest):
    plans = plan_queues(Settings(), example)

    lines = {line.item: line.dollars for line in cost.idle_month(Settings(), plans)}

    assert lines["polling the wake queues"] == pytest.approx(len(plans) * 0.2628)
    assert 45 < sum(lines.values()) < 60
    assert f"{sum(lines.values()):,.2f}  dollars in all" in cost.report(Settings(), plans)


def test_a_million_commands_cost_a_few_dollars(example: Manifest):
    lines = list(cost.million_commands(Settings(), plan_queues(Settings(), example)))

    assert 2.9 < sum(line.dollars for line in lines) < 3.8  # what the field's own table says for single enqueues


def test_a_higher_minimum_capacity_is_paid_for():
    settings = Settings(min_capacity=2)

    assert cost.awake_dollars(settings) == pytest.approx(2 * 0.12 * 730)


def test_every_alarm_of_the_template_is_counted(product, example: Manifest):
    counted = ALARMS + ALARMS_PER_QUEUE * len(example.queues)

    assert len(product.all("AWS::CloudWatch::Alarm")) == counted
