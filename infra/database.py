"""The database: Aurora Serverless v2 Postgres that pauses when nobody holds a connection.

Functions sign in with IAM as roles of their own; the master's password lives in a secret that Aurora itself rotates,
and only the migration reads it. Performance Insights, log exports and RDS Proxy are left out: each keeps it awake.
"""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra.network import Network
from infra.settings import Settings

NAME = "durex"
OWNER = "postgres"
ROLES = {duty: f"durex_{duty}" for duty in ("worker", "enqueue", "api", "tick", "drain")}
"""The database role of each kind of function; the migration creates them with the rights they need and no more."""

_ENGINE = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9)


class Database(Construct):
    """The cluster, and who may reach it."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, network: Network) -> None:
        """Make the cluster and open its port to the functions."""
        super().__init__(scope, id_)
        self._settings = settings
        self.cluster = self._cluster(settings, network)
        self.cluster.connections.allow_default_port_from(network.functions, "durex functions")

    def url(self, role: str) -> str:
        """Return a role's URL; it holds no password."""
        endpoint = self.cluster.cluster_endpoint
        return f"postgresql://{role}@{endpoint.hostname}:{endpoint.port}/{NAME}"

    @property
    def secret_arn(self) -> str:
        """The master's secret."""
        secret = self.cluster.secret
        assert secret is not None, "a cluster of its own always has a secret"
        return secret.secret_arn

    def grant_connect(self, grantee: iam.IGrantable, role: str) -> None:
        """Let a function sign in as its role; the emulator knows passwords alone."""
        if not self._settings.local:
            self.cluster.grant_connect(grantee, role)

    def grant_own(self, grantee: iam.IGrantable) -> None:
        """Let the migration read the master's password."""
        iam.Grant.add_to_principal(
            grantee=grantee, actions=["secretsmanager:GetSecretValue"], resource_arns=[self.secret_arn]
        )

    def _cluster(self, settings: Settings, network: Network) -> rds.DatabaseCluster:
        sleeps = settings.min_capacity == 0
        return rds.DatabaseCluster(
            self,
            "Cluster",
            engine=_ENGINE,
            default_database_name=NAME,
            credentials=None if settings.local else rds.Credentials.from_username(OWNER),
            manage_master_user_password=not settings.local,  # no emulator knows where Aurora keeps that secret
            iam_authentication=not settings.local,
            vpc=network.vpc,
            vpc_subnets=network.subnets,
            security_groups=[self._security_group(network)],
            writer=rds.ClusterInstance.serverless_v2("Writer", enable_performance_insights=False),
            serverless_v2_min_capacity=settings.min_capacity,
            serverless_v2_max_capacity=settings.max_capacity,
            serverless_v2_auto_pause_duration=Duration.seconds(settings.auto_pause_seconds) if sleeps else None,
            storage_encrypted=True,
            backup=rds.BackupProps(retention=Duration.days(settings.backup_days)),
            deletion_protection=settings.protected,
            removal_policy=RemovalPolicy.SNAPSHOT if settings.protected else RemovalPolicy.DESTROY,
        )

    def _security_group(self, network: Network) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, "Access", vpc=network.vpc, description="durex database", allow_all_outbound=False
        )
