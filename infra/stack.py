"""The stack: it only wires. Each construct gets what it needs by keyword, and every grant is made here."""

from typing import Any

from aws_cdk import CfnOutput, Stack, Tags
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import checks
from infra.alarms import Alarms
from infra.api import Api
from infra.compute import Compute, Package
from infra.database import ROLES, Database
from infra.manifest import Manifest
from infra.monitoring import Monitoring, Watched
from infra.network import Network
from infra.plan import plan_queues
from infra.queues import Ingest, Queues
from infra.schedules import Schedules
from infra.settings import Settings


class DurexStack(Stack):
    """All of durex for one application and stage."""

    def __init__(
        self, scope: Construct, id_: str, *, settings: Settings, manifest: Manifest, code: lambda_.Code, **options: Any
    ) -> None:
        """Refuse what would be deployed wrong, then wire the rest.

        Raises:
            SynthRefused: the stack would fail under load or after a crash; nothing was made.
        """
        checks.refuse(settings, manifest)
        super().__init__(scope, id_, termination_protection=settings.protected, **options)
        self.network = Network(self, "Network", settings=settings)
        self.database = Database(self, "Database", settings=settings, network=self.network)
        self.queues = Queues(self, "Queues", plans=plan_queues(settings, manifest))
        self.ingest = Ingest(self, "Ingest")
        self.alarms = Alarms(self, "Alarms", settings=settings) if settings.sleeping else None
        self.compute = Compute(
            self,
            "Compute",
            settings=settings,
            package=Package(code=code, app=manifest.app),
            network=self.network,
            database=self.database,
            queues=self.queues,
            ingest=self.ingest,
            alarms=self.alarms,
        )
        self.api = Api(self, "Api", settings=settings, enqueue=self.compute.enqueue, operations=self.compute.api)
        self.schedules = Schedules(self, "Schedules", settings=settings, compute=self.compute)
        self.monitoring = Monitoring(self, "Monitoring", settings=settings, watched=self._watched())
        self._grant()
        self._output()
        Tags.of(self).add("durex:stage", settings.stage)

    def _watched(self) -> Watched:
        return Watched(
            bells=self.queues.bells,
            workers=self.compute.workers,
            ingest=self.ingest,
            drain=self.compute.drain,
            tick=self.compute.tick,
            http=self.api.http,
            cluster=self.database.cluster,
        )

    def _grant(self) -> None:
        """Let each function sign in as its own database role, ring the queues, and make alarms."""
        compute = self.compute
        self.database.grant_own(compute.migrate)
        others = {"enqueue": compute.enqueue, "api": compute.api, "tick": compute.tick, "drain": compute.drain}
        for role, function in others.items():
            self.database.grant_connect(function, ROLES[role])
        for worker in compute.workers.values():
            self.database.grant_connect(worker, ROLES["worker"])
        for function in compute.allowed_to_wake:
            self.queues.grant_wake(function)
            if self.alarms:
                self.alarms.grant_create(function)

    def _output(self) -> None:
        """Tell clients, tests and people where things are; others rely on these names."""
        CfnOutput(self, "ApiUrl", value=self.api.url)
        CfnOutput(self, "DashboardName", value=self.monitoring.dashboard.dashboard_name)
        for name, bell in self.queues.bells.items():
            description = f"Wakes of the queue {name}"
            CfnOutput(self, f"WakeQueueUrl{bell.plan.identifier}", value=bell.wake.queue_url, description=description)
