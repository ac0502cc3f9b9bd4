"""EventBridge Scheduler: schedules that fire once, at a second that they name, and delete themselves."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from durex_core.records import record
from durex_core.testing.cloud.errors import ConflictException, ServiceError, ValidationException
from durex_core.testing.cloud.faults import Faults
from durex_core.testing.cloud.timeline import Timeline

Answer = dict[str, Any]
Calls = Callable[[str, Callable[[], Answer]], Answer]
Target = Callable[[str], None]

NEVER = float("inf")

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_NAME = re.compile(r"[0-9a-zA-Z-_.]{1,64}")


@record
class Schedule:
    """A schedule that fires once; `fires_at` is in seconds of the line of time."""

    group: str
    name: str
    fires_at: float
    target: str
    input: str


class SimulatedScheduler:
    """The schedules of an account, and the methods of boto3's client that durex uses.

    A schedule fires up to a minute after its time. One whose time has passed when it is made never fires: the service
    does not promise that it would.
    """

    def __init__(self, timeline: Timeline, faults: Faults, calls: Calls) -> None:
        """Keep time with a line; each call goes through `calls`, by its name and with its effect."""
        self.targets: dict[str, Target] = {}
        self.schedules: dict[tuple[str, str], Schedule] = {}
        self.made = 0
        self._timeline = timeline
        self._faults = faults
        self._calls = calls

    def create_schedule(
        self,
        *,
        Name: str,  # noqa: N803  boto3's names, as the others
        ScheduleExpression: str,  # noqa: N803
        Target: Mapping[str, Any],  # noqa: N803
        FlexibleTimeWindow: Mapping[str, Any],  # noqa: N803
        GroupName: str = "default",  # noqa: N803
        ScheduleExpressionTimezone: str = "UTC",  # noqa: N803
        ActionAfterCompletion: str = "NONE",  # noqa: N803
        **_: Any,
    ) -> Answer:
        """Make a schedule.

        Raises:
            ConflictException: there is one of that name.
            ValidationException: its name or expression cannot be read, or it asks for what this one cannot do.
        """

        def effect() -> Answer:
            fires_at = self._timeline.seconds_of(_moment(ScheduleExpression))
            _check(Name, ScheduleExpressionTimezone, ActionAfterCompletion, FlexibleTimeWindow, Target)
            if (GroupName, Name) in self.schedules:
                raise ConflictException(f"Schedule {Name} already exists.")
            if Target["Arn"] not in self.targets:
                raise ValidationException(f"no function is known by {Target['Arn']}")
            self._keep(Schedule(GroupName, Name, fires_at, Target["Arn"], Target.get("Input", "{}")))
            return {"ScheduleArn": f"arn:aws:scheduler:us-east-1:000000000000:schedule/{GroupName}/{Name}"}

        return self._calls("scheduler:CreateSchedule", effect)

    def delete_schedule(self, *, Name: str, GroupName: str = "default") -> Answer:  # noqa: N803  boto3's names
        """Delete a schedule."""

        def effect() -> Answer:
            if self.schedules.pop((GroupName, Name), None) is None:
                raise ServiceError("ResourceNotFoundException", f"Schedule {Name} does not exist.")
            return {}

        return self._calls("scheduler:DeleteSchedule", effect)

    def _keep(self, schedule: Schedule) -> None:
        self.made += 1
        if schedule.fires_at < self._timeline.seconds:
            schedule = replace(schedule, fires_at=NEVER)
        else:
            late = self._faults.lateness_of_alarm()
            self._timeline.at(schedule.fires_at + late, lambda: self._fire(schedule))
        self.schedules[schedule.group, schedule.name] = schedule

    def _fire(self, schedule: Schedule) -> None:
        key = schedule.group, schedule.name
        if self.schedules.get(key) is schedule:
            del self.schedules[key]
            self.targets[schedule.target](schedule.input)


def _moment(expression: str) -> datetime:
    found = _AT.fullmatch(expression)
    if found is None:
        raise ValidationException(f"Invalid Schedule Expression {expression}.")
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)


def _check(name: str, timezone: str, after: str, window: Mapping[str, Any], target: Mapping[str, Any]) -> None:
    if not _NAME.fullmatch(name):
        raise ValidationException(f"{name!r} is no name of a schedule")
    if (timezone, after, window.get("Mode")) != ("UTC", "DELETE", "OFF"):
        raise ValidationException(
            "simulated are schedules in UTC, to the minute, that delete themselves, and no others"
        )
    if not {"Arn", "RoleArn"} <= target.keys():
        raise ValidationException("a target has an Arn and a RoleArn")
