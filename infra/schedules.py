"""The clock: EventBridge Scheduler calls the tick, which promotes what is due and rescues what a crash left.

A deployment that sleeps is called by its alarms, and by a sweep every few hours for what fell through. One that does
not sleep is called each minute.
"""

from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.alarms import calling_role
from infra.compute import Compute
from infra.settings import Settings

_ONE_MINUTE_SECONDS = 60
_SWEEP_AGE_SECONDS = 3600
_SWEEP_RETRIES = 10


class Schedules(Construct):
    """The tick's own schedule: the sweep of a deployment that sleeps, or each minute; and once after a deployment."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, compute: Compute) -> None:
        """Call the tick, with a role that may call nothing else."""
        super().__init__(scope, id_)
        tick = compute.tick
        role = calling_role(self, tick.function_arn)
        schedule = scheduler.CfnSchedule(
            self,
            "Tick",
            # A schedule without a start date begins when it is made, and so it is made anew for each version: permanent
            # commands and queues that had no worker before must not wait for the next sweep.
            name=f"{settings.stack_name}-{compute.version}",
            description="durex: promote what is due, rescue what a crash left",
            schedule_expression=_rate(settings),
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=tick.function_arn, role_arn=role.role_arn, retry_policy=_retries(settings)
            ),
        )
        schedule.node.add_dependency(compute)  # it calls at once


def _rate(settings: Settings) -> str:
    if not settings.sleeping:
        return "rate(1 minute)"
    return f"rate({settings.sweep_hours} {'hour' if settings.sweep_hours == 1 else 'hours'})"


def _retries(settings: Settings) -> scheduler.CfnSchedule.RetryPolicyProperty:
    """Repeat a sweep that could not be handed over; an old tick has nothing to say that the next minute's does not."""
    return scheduler.CfnSchedule.RetryPolicyProperty(
        maximum_retry_attempts=_SWEEP_RETRIES if settings.sleeping else 0,
        maximum_event_age_in_seconds=_SWEEP_AGE_SECONDS if settings.sleeping else _ONE_MINUTE_SECONDS,
    )
