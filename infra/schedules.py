"""The clock: EventBridge Scheduler calls the tick, which promotes what is due and rescues what a crash left."""

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

TICK_MINUTES = 1
_AGE_SECONDS = 60  # an older tick has nothing to say that the next one does not


class Schedules(Construct):
    """The tick's schedule; each minute for now, which keeps the database awake."""

    def __init__(self, scope: Construct, id_: str, *, tick: lambda_.IFunction) -> None:
        """Call the tick each minute, with a role that may call nothing else."""
        super().__init__(scope, id_)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
        )
        # CDK's own target grants every version of the function as well, by a wildcard.
        statement = iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[tick.function_arn])
        allowed = iam.Policy(self, "InvokeTick", statements=[statement], roles=[role])
        schedule = scheduler.CfnSchedule(
            self,
            "Tick",
            description="durex: promote what is due, rescue what a crash left",
            schedule_expression=f"rate({TICK_MINUTES} minute)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=tick.function_arn,
                role_arn=role.role_arn,
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_retry_attempts=0, maximum_event_age_in_seconds=_AGE_SECONDS
                ),
            ),
        )
        schedule.node.add_dependency(allowed)
