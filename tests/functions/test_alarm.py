"""Alarms through EventBridge Scheduler: what is asked of it, and which of its answers mean that the alarm is set."""

import json
from datetime import UTC, datetime

import pytest
from aws_calls import ALARMS, Scheduler
from botocore.exceptions import ReadTimeoutError

from durex_core.aws.alarm import AlarmSettings, SchedulerAlarms
from durex_core.aws.clients import client

BUCKET = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def scheduler() -> Scheduler:
    """A client that checks requests against AWS's own model."""
    return Scheduler()


@pytest.fixture
def alarms(scheduler: Scheduler) -> SchedulerAlarms:
    """Alarms of a scheduler that has none."""
    scheduler.forget()
    return SchedulerAlarms(ALARMS, scheduler=scheduler)


def test_the_settings_are_what_the_environment_holds():
    text = json.dumps({"group": ALARMS.group, "role": ALARMS.role, "target": ALARMS.target})

    assert AlarmSettings.read(text) == ALARMS


def test_an_alarm_calls_the_tick_once_two_minutes_before_its_bucket_and_is_gone_then(alarms, scheduler):
    assert alarms.create(BUCKET)

    assert scheduler.requests == [
        {
            "Name": "20260301T0000Z",
            "GroupName": "alarms",
            "Description": "durex: commands are due",
            "ScheduleExpression": "at(2026-02-28T23:58:00)",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": "arn:aws:lambda:us-east-1:000000000000:function:tick",
                "RoleArn": "arn:aws:iam::000000000000:role/alarms",
                "Input": '{"alarm": "2026-03-01T00:00:00+00:00"}',
                "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 60},
            },
        }
    ]


def test_an_alarm_that_is_there_already_is_what_was_wanted(alarms, scheduler, caplog):
    assert [alarms.create(BUCKET) for _ in range(3)] == [True] * 3

    assert len(scheduler.requests) == 3
    assert caplog.text == ""


@pytest.mark.parametrize("code", ["ThrottlingException", "ResourceNotFoundException", "AccessDeniedException"])
def test_every_other_answer_is_told_and_sets_nothing(alarms, scheduler, caplog, code):
    scheduler.refuse(code)

    assert not alarms.create(BUCKET)

    assert "the alarm of 2026-03-01T00:00:00+00:00 was not set" in caplog.text
    assert code in caplog.text


def test_a_scheduler_that_does_not_answer_sets_nothing(caplog):
    def unanswered():
        raise ReadTimeoutError(endpoint_url="https://scheduler.example")

    assert SchedulerAlarms(ALARMS, scheduler=unanswered).create(BUCKET) is False
    assert "was not set" in caplog.text


def test_whoever_cannot_make_a_client_sets_nothing_either(caplog):
    def broken():
        raise OSError("no network")

    assert not SchedulerAlarms(ALARMS, scheduler=broken).create(BUCKET)

    assert "no network" in caplog.text


def test_the_emulator_takes_an_alarm_once(aws):
    assert aws.process.is_alive
    client("scheduler").create_schedule_group(Name=ALARMS.group)
    far = datetime(2099, 1, 1, tzinfo=UTC)
    made = SchedulerAlarms(ALARMS)

    assert [made.create(far), made.create(far)] == [True, True]

    found = client("scheduler").get_schedule(GroupName=ALARMS.group, Name="20990101T0000Z")
    assert found["ScheduleExpression"] == "at(2098-12-31T23:58:00)"
    assert found["ActionAfterCompletion"] == "DELETE"
