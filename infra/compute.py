"""The functions: a worker for each queue, the two halves of the API, drain, tick and migration, all from one asset.

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
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.acknowledgements import acknowledge_network_interfaces
from infra.alarms import Alarms
from infra.bundling import migrations_hash
from infra.connections import API_TIMEOUT_SECONDS, DRAIN_CONCURRENCY
from infra.database import OWNER, ROLES, Database
from infra.logs import log_group
from infra.network import Network
from infra.plan import WAKES_PER_INVOCATION
from infra.queues import DRAIN_TIMEOUT_SECONDS, Bell, Ingest, Queues
from infra.settings import Settings
from infra.sleep import TICK_SECONDS

MIGRATE_TIMEOUT = Duration.minutes(10)  # a paused database takes half a minute to resume, an index may take more
_API_TIMEOUT = Duration.seconds(API_TIMEOUT_SECONDS)
# A client waits for it: who enqueues does not wait for a database that sleeps, but leaves it to the drain.
_IMPATIENCE = {"DUREX_DATABASE_CONNECT_TIMEOUT_SECONDS": "3", "DUREX_DATABASE_ANSWER_TIMEOUT_SECONDS": "2"}
_TRIGGER_PROVIDER = "AWSCDK.TriggerCustomResourceProviderCustomResourceProvider"
_ARCHITECTURES = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}


class _Options(TypedDict, total=False):
    """What only some functions have."""

    function_name: str
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
        ingest: Ingest,
        alarms: Alarms | None,
    ) -> None:
        """Make the functions, and run the migration before all others."""
        super().__init__(scope, id_)
        self._settings = settings
        self._package = package
        self._network = network
        self._database = database
        self._wake_urls = queues.wake_urls
        self._ingest = ingest
        self._alarms = alarms.environment if alarms else {}
        self._interfaces = self._network_interfaces()
        self.migrate = self._migrate()
        self.enqueue = self._enqueue()
        self.api = self._answering("api", settings.api_concurrency)
        self.tick = self._tick()
        self.drain = self._drain()
        self.workers: Mapping[str, lambda_.Function] = {n: self._worker(bell) for n, bell in queues.bells.items()}
        self._run_migration_first()

    @property
    def allowed_to_wake(self) -> list[lambda_.Function]:
        """The functions that send wakes and make alarms: all but the migration."""
        return [self.enqueue, self.api, self.tick, self.drain, *self.workers.values()]

    @property
    def version(self) -> str:
        """A number that no two versions of the functions have in common."""
        return self.migrate.current_version.version

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

    def _enqueue(self) -> lambda_.Function:
        enqueue = self._answering(
            "enqueue",
            self._settings.enqueue_concurrency,
            DUREX_INGEST_URL=self._ingest.queue.queue_url,
            **_IMPATIENCE,
        )
        self._ingest.queue.grant(enqueue, "sqs:SendMessage")
        return enqueue

    def _answering(self, entry: str, reserved: int | None, **environment: str) -> lambda_.Function:
        return self._function(
            entry.capitalize(),
            entry=entry,
            database_role=ROLES[entry],
            timeout=_API_TIMEOUT,
            environment=environment,
            reserved_concurrent_executions=reserved,
        )

    def _tick(self) -> lambda_.Function:
        """Make the tick. One that failed is tried twice more, for an alarm is not repeated; a minute's tick is."""
        sleeping = self._settings.sleeping
        return self._function(
            "Tick",
            entry="tick",
            database_role=ROLES["tick"],
            timeout=Duration.seconds(TICK_SECONDS),
            environment={},
            function_name=self._settings.tick_name,
            reserved_concurrent_executions=self._settings.tick_concurrency,
            retry_attempts=2 if sleeping else 0,
            max_event_age=Duration.minutes(15 if sleeping else 1),
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )

    def _drain(self) -> lambda_.Function:
        """Make the drain, which stores what was enqueued while the database was away."""
        drain = self._function(
            "Drain",
            entry="drain",
            database_role=ROLES["drain"],
            timeout=Duration.seconds(DRAIN_TIMEOUT_SECONDS),
            environment={"DUREX_DEAD_LETTER_URL": self._ingest.dead_letters.queue_url},
        )
        self._ingest.dead_letters.grant(drain, "sqs:SendMessage")
        drain.add_event_source(_mapping(self._ingest.queue, max_concurrency=DRAIN_CONCURRENCY))
        return drain

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
                "DUREX_CONCURRENCY": str(plan.batch_size),
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
        window = Duration.seconds(plan.batching_window_seconds) if plan.batching_window_seconds else None
        worker.add_event_source(_mapping(bell.wake, max_concurrency=plan.max_concurrency, window=window))
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
            **self._alarms,
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


def _mapping(queue: sqs.IQueue, *, max_concurrency: int, window: Duration | None = None) -> sources.SqsEventSource:
    return sources.SqsEventSource(
        queue,
        batch_size=WAKES_PER_INVOCATION,
        max_batching_window=window,
        max_concurrency=max_concurrency,
        report_batch_item_failures=True,
    )
