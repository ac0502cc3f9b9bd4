"""Alarms: one-shots of EventBridge Scheduler that call the tick shortly before something is due.

The functions make them, each for ten minutes in which commands are due; here is where they stand, and the right to make
them. A deployment that does not sleep has none.
"""

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.acknowledgements import acknowledge_alarms
from infra.settings import Settings


class Alarms(Construct):
    """Where the alarms of a deployment stand, and the right to make them."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings) -> None:
        """Make a group for the alarms alone, and a role for them that may call the tick and nothing else."""
        super().__init__(scope, id_)
        # The tick makes alarms for itself and is told its own address, so that its address cannot be asked of it: it
        # follows from its name.
        self._tick_arn = Stack.of(self).format_arn(
            service="lambda",
            resource="function",
            resource_name=settings.tick_name,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        self._group = scheduler.CfnScheduleGroup(self, "Group", name=settings.stack_name)
        self._role = calling_role(self, self._tick_arn)
        self._may_create = self._policy(settings)

    @property
    def environment(self) -> dict[str, str]:
        """What a function must know to make an alarm."""
        told = {"group": self._group.ref, "role": self._role.role_arn, "target": self._tick_arn}
        return {"DUREX_ALARMS": Stack.of(self).to_json_string(told)}

    def grant_create(self, function: lambda_.Function) -> None:
        """Let a function make alarms."""
        assert function.role is not None, "a function of this stack has a role"
        function.role.add_managed_policy(self._may_create)

    def _policy(self, settings: Settings) -> iam.ManagedPolicy:
        """Allow to make schedules in this group that take on this role: all that is needed, and no change or deletion.

        An alarm is named by its time, so that its name cannot be known here; the group is the alarms' own.
        """
        any_alarm = Stack.of(self).format_arn(
            service="scheduler", resource="schedule", resource_name=f"{settings.stack_name}/*"
        )
        policy = iam.ManagedPolicy(
            self,
            "Create",
            description=f"durex: make alarms of {settings.stack_name}",
            statements=[
                iam.PolicyStatement(actions=["scheduler:CreateSchedule"], resources=[any_alarm]),
                iam.PolicyStatement(
                    actions=["iam:PassRole"],
                    resources=[self._role.role_arn],
                    conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
                ),
            ],
        )
        acknowledge_alarms(policy, group=settings.stack_name)
        return policy


def calling_role(scope: Construct, tick_arn: str) -> iam.Role:
    """Make a role with which Scheduler may call the tick and nothing else."""
    # CDK's own target grants every version of the function as well, by a wildcard.
    call = iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[tick_arn])
    return iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal(
            "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        ),
        inline_policies={"CallTheTick": iam.PolicyDocument(statements=[call])},
    )
