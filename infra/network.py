"""The network: two zones, both IP families, no NAT.

IPv6 leaves through an egress-only gateway, which is free, and every AWS API that a function calls answers on IPv6. IPv4
goes no further than the database.
"""

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.logs import log_group
from infra.settings import Settings


class Network(Construct):
    """The VPC and the one security group that all functions share."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings) -> None:
        """Lay the network."""
        super().__init__(scope, id_)
        self.vpc = self._vpc(log_group(self, "FlowLogs", settings=settings))
        # Lambda makes one network interface for each pair of subnet and security group, and makes it slowly.
        self.functions = ec2.SecurityGroup(
            self,
            "Functions",
            vpc=self.vpc,
            description="durex functions",
            allow_all_outbound=False,
            allow_all_ipv6_outbound=True,
        )

    @property
    def subnets(self) -> ec2.SubnetSelection:
        """Where functions and database live."""
        return ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)

    def _vpc(self, flow_logs: logs.LogGroup) -> ec2.Vpc:
        return ec2.Vpc(
            self,
            "Vpc",
            ip_protocol=ec2.IpProtocol.DUAL_STACK,
            max_azs=2,
            nat_gateways=0,
            create_internet_gateway=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
            ],
            flow_logs={
                "Rejected": ec2.FlowLogOptions(
                    destination=ec2.FlowLogDestination.to_cloud_watch_logs(flow_logs),
                    traffic_type=ec2.FlowLogTrafficType.REJECT,
                )
            },
        )
