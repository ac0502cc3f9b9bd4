"""Alarms through EventBridge Scheduler: one-shots that call the tick shortly before something is due.

An alarm is named by its bucket and never moved: who finds that it exists already has what it wanted. It fires two
minutes early, and AWS deletes it afterwards.
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from durex_core.aws.clients import client
from durex_core.records import record
from durex_core.rules.wakes import fires_at

_TRIES_FOR_SECONDS = 3600  # an alarm that comes late still finds what is due
_TRIES = 60

_log = logging.getLogger(__name__)


@record
class AlarmSettings:
    """Where alarms live: the schedule group's name, the role that calls the tick, and the tick function's ARN."""

    group: str
    role: str
    target: str

    @classmethod
    def read(cls, text: str) -> "AlarmSettings":
        """Read what DUREX_ALARMS holds: a JSON object with these three."""
        return cls(**json.loads(text))


class SchedulerAlarms:
    """Sets alarms."""

    def __init__(self, settings: AlarmSettings, *, scheduler: Callable[[], Any] = lambda: client("scheduler")) -> None:
        """Take where alarms live, and what returns a client of EventBridge Scheduler."""
        self._settings = settings
        self._scheduler = scheduler

    def create(self, bucket: datetime) -> bool:
        """Set the alarm of a bucket, and say whether it is set, by this call or an earlier one."""
        try:
            self._scheduler().create_schedule(
                Name=f"{bucket:%Y%m%dT%H%MZ}",
                GroupName=self._settings.group,
                Description="durex: commands are due",
                ScheduleExpression=f"at({fires_at(bucket):%Y-%m-%dT%H:%M:%S})",
                ScheduleExpressionTimezone="UTC",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={
                    "Arn": self._settings.target,
                    "RoleArn": self._settings.role,
                    "Input": json.dumps({"alarm": bucket.isoformat()}),
                    "RetryPolicy": {
                        "MaximumEventAgeInSeconds": _TRIES_FOR_SECONDS,
                        "MaximumRetryAttempts": _TRIES,
                    },
                },
            )
        except Exception as error:  # noqa: BLE001  whatever it is, whoever asked has another way
            if _exists(error):
                return True
            _log.exception("the alarm of %s was not set", bucket.isoformat())
            return False
        return True


def _exists(error: Exception) -> bool:
    # An error of the network has a response, too: None.
    response = getattr(error, "response", None) or {}
    return bool(response.get("Error", {}).get("Code") == "ConflictException")
