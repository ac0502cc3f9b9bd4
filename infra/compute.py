"""The functions: one worker for each queue, the two halves of the API, the tick and the migration, all from one asset.

Each has a role of its own and a log group of its own. Nothing runs before the migration of its version is through.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack

from aws_cdk import Aws, CfnResource, Duration, Stack, triggers
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from constructs import Construct

from infra.acknowledgements import acknowledge_network_interfaces
from infra.bundling import migrations_hash
from infra.connections import API_TIMEOUT_SECONDS
from infra.database import OWNER, ROLES, Database
from infra.logs import log_group
from infra.network import Network
from infra.queues import Bell, Queues
from infra.settings import Settings

TICK_TIMEOUT = Duration.seconds(50)  # below the tick's minute: two never overlap
MIGRATE_TIMEOUT = Duration.minutes(10)  # a paused database takes half a minute to resume, an index may take more
_API_TIMEOUT = Duration.seconds(API_TIMEOUT_SECONDS)
_TRIGGER_PROVIDER = "AWSCDK.TriggerCustomResourceProviderCustomResourceProvider"
_ARCHITECTURES = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}


class _Options(TypedDict, total=False):
    """What only some functions have."""

    reserved_concurrent_executions: int | None
    retry_attempts: int
    max_event_age: Duration
    recursive_loop: lambda_.RecursiveLoop


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What every function runs: the zip, and the application in it (`module:attribute`)."""

    code: lambda_.Code
    app: str


class Compute(Construct):
    """Every function of the stack."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        settings: Settings,
        package: Package,
        network: Network,
        database: Database,
        queues: Queues,
    ) -> None:
        """Make the functions, and run the migration before all others."""
        super().__init__(scope, id_)
        self._settings = settings
        self._package = package
        self._network = network
        self._database = database
        self._wake_urls = queues.wake_urls
        self._interfaces = self._network_interfaces()
        self.migrate = self._migrate()
        self.enqueue = self._answering("enqueue", settings.enqueue_concurrency)
        self.api = self._answering("api", settings.api_concurrency)
        self.tick = self._tick()
        self.workers: Mapping[str, lambda_.Function] = {n: self._worker(bell) for n, bell in queues.bells.items()}
        self._run_migration_first()

    @property
    def allowed_to_wake(self) -> list[lambda_.Function]:
        """The functions that send wakes: all but the migration."""
        return [self.enqueue, self.api, self.tick, *self.workers.values()]

    def _migrate(self) -> lambda_.Function:
        return self._function(
            "Migrate",
            entry="migrate",
            database_role=OWNER,
            timeout=MIGRATE_TIMEOUT,
            environment={
                "DUREX_DATABASE_SECRET_ARN": self._database.secret_arn,
                "DUREX_DATABASE_ROLES": json.dumps(ROLES),
                # The trigger runs when the function changes, and new SQL must be such a change.
                "DUREX_MIGRATIONS_HASH": migrations_hash(),
            },
        )

    def _answering(self, entry: str, reserved: int | None) -> lambda_.Function:
        return self._function(
            entry.capitalize(),
            entry=entry,
            database_role=ROLES[entry],
            timeout=_API_TIMEOUT,
            environment={},
            reserved_concurrent_executions=reserved,
        )

    def _tick(self) -> lambda_.Function:
        """A tick that failed is not repeated: the next one is at most a minute away."""
        return self._function(
            "Tick",
            entry="tick",
            database_role=ROLES["tick"],
            timeout=TICK_TIMEOUT,
            environment={},
            retry_attempts=0,
            max_event_age=Duration.minutes(1),
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )

    def _worker(self, bell: Bell) -> lambda_.Function:
        plan = bell.plan
        worker = self._function(
            f"Worker{plan.identifier}",
            entry="worker",
            database_role=ROLES["worker"],
            timeout=Duration.seconds(plan.timeout_seconds),
            description=f"durex worker of queue {plan.name}: {', '.join(plan.commands)}"[:256],
            memory_megabytes=plan.memory_megabytes,
            environment={
                "DUREX_QUEUE": plan.name,
                # The budget that synth checked holds at run time, too.
                "DUREX_DATABASE_MAX_CONNECTIONS": str(self._settings.connections_per_worker),
                "DUREX_DEAD_LETTER_URL": bell.dead_letters.queue_url,
                "DUREX_LEASE_MARGIN_SECONDS": str(self._settings.lease_margin_seconds),
            },
            reserved_concurrent_executions=plan.reserved_concurrency,
            # A command that wakes the next is a chain, and Lambda would cut it after 16 links.
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )
        bell.dead_letters.grant(worker, "sqs:SendMessage")
        worker.add_event_source(_mapping(bell))
        return worker

    def _function(
        self,
        id_: str,
        *,
        entry: str,
        database_role: str,
        timeout: Duration,
        environment: Mapping[str, str],
        description: str | None = None,
        memory_megabytes: int | None = None,
        **options: Unpack[_Options],
    ) -> lambda_.Function:
        scope = Construct(self, id_)
        logs = log_group(scope, "Logs", settings=self._settings)
        role = iam.Role(
            scope,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[self._interfaces],
        )
        logs.grant_write(role)
        return lambda_.Function(
            scope,
            "Function",
            code=self._package.code,
            handler=f"functions.{entry}.handler.handler",
            runtime=lambda_.Runtime(f"python{self._settings.python}", lambda_.RuntimeFamily.PYTHON),
            architecture=_ARCHITECTURES[self._settings.machine],
            description=description or f"durex {entry}",
            environment={**self._environment(database_role), **environment},
            memory_size=memory_megabytes or self._settings.memory_megabytes,
            timeout=timeout,
            role=role,
            log_group=logs,
            logging_format=lambda_.LoggingFormat.JSON,
            vpc=self._network.vpc,
            vpc_subnets=self._network.subnets,
            security_groups=[self._network.functions],
            ipv6_allowed_for_dual_stack=True,
            **options,
        )

    def _environment(self, database_role: str) -> dict[str, str]:
        """Return what every function is told; the emulator has neither IAM sign-in nor IPv6 addresses of AWS."""
        local = self._settings.local
        endpoint = {"AWS_ENDPOINT_URL": self._settings.endpoint} if self._settings.endpoint else {}
        return {
            "DUREX_APP": self._package.app,
            "DUREX_DATABASE_URL": self._database.url(database_role),
            "DUREX_DATABASE_AUTH": "password" if local else "iam",
            "DUREX_DATABASE_SSLMODE": "prefer" if local else "verify-full",
            "DUREX_WAKE_URLS": self._wake_urls,
            "DUREX_METRICS_NAMESPACE": self._settings.stack_name,  # stages of one account are not to add up
            "POWERTOOLS_SERVICE_NAME": "durex",
            "POWERTOOLS_METRICS_NAMESPACE": "durex",
            **({} if local else {"AWS_USE_DUALSTACK_ENDPOINT": "true"}),
            **endpoint,
        }

    def _network_interfaces(self) -> iam.ManagedPolicy:
        """Let Lambda, but not the code it runs, put functions into the VPC: what AWS's guide advises."""
        actions = [
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
        ]
        any_function = f"arn:{Aws.PARTITION}:lambda:{Aws.REGION}:{Aws.ACCOUNT_ID}:function:*"
        policy = iam.ManagedPolicy(
            self,
            "NetworkInterfaces",
            description="durex: put functions into the VPC",
            statements=[
                iam.PolicyStatement(actions=actions, resources=["*"]),
                iam.PolicyStatement(
                    effect=iam.Effect.DENY,
                    actions=actions,
                    resources=["*"],
                    conditions={"ArnLike": {"lambda:SourceFunctionArn": any_function}},
                ),
            ],
        )
        acknowledge_network_interfaces(policy)
        return policy

    def _run_migration_first(self) -> None:
        triggers.Trigger(
            self,
            "Migration",
            handler=self.migrate,
            timeout=MIGRATE_TIMEOUT,
            execute_after=[self._network, self._database],  # the rules and routes that it connects by, too
            execute_before=self.allowed_to_wake,
        )
        # CDK's own function behind the trigger would keep its log for ever, and after the stack, too.
        caller = Stack.of(self).node.find_child(_TRIGGER_PROVIDER).node.find_child("Handler")
        assert isinstance(caller, CfnResource)
        logs = log_group(self, "MigrationLogs", settings=self._settings)
        caller.add_property_override("LoggingConfig.LogGroup", logs.log_group_name)


def _mapping(bell: Bell) -> sources.SqsEventSource:
    plan = bell.plan
    window = plan.batching_window_seconds
    return sources.SqsEventSource(
        bell.wake,
        batch_size=plan.batch_size,
        max_batching_window=Duration.seconds(window) if window else None,
        max_concurrency=plan.max_concurrency,
        report_batch_item_failures=True,
    )
