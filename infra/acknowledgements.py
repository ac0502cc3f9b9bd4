"""The findings of cdk-nag that stand, each with its reason; there is no other."""

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_iam as iam


def acknowledge_network_interfaces(policy: iam.ManagedPolicy) -> None:
    """Answer for the wildcard that every function in a VPC needs."""
    Validations.of(policy).acknowledge(
        Acknowledgment(
            id="AwsSolutions-IAM5[Resource::*]",
            reason="EC2 takes no resource for describing network interfaces, and their ids are not known before Lambda"
            " makes them; the second statement denies the same actions to the code that the functions run",
        )
    )


def acknowledge_alarms(policy: iam.ManagedPolicy, *, group: str) -> None:
    """Answer for the wildcard that stands for the alarms of a group, which are not made yet."""
    Validations.of(policy).acknowledge(
        Acknowledgment(
            id="AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:scheduler:<AWS::Region>:<AWS::AccountId>"
            f":schedule/{group}/*]",
            reason="an alarm is named by its time; the group holds the alarms of this stack alone, and they may be made"
            " there, neither changed nor deleted",
        )
    )
