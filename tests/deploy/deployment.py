"""A deployed stack, and ways to look into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
from deploy import emulator as emulators
from deploy.cdk import Cdk
from deploy.client import ApiClient, local_url
from deploy.emulator import Emulator
from deploy.postgres import Postgres
from staging import wait_until

PATIENCE_SECONDS = 60


@dataclass
class Deployment:
    """A deployed stack: its API, its database, and every other service."""

    folder: Path
    emulator: Emulator
    postgres: Postgres
    cdk: Cdk
    outputs: dict[str, str]

    @property
    def api(self) -> ApiClient:
        """The deployed API."""
        return ApiClient(local_url(self.emulator, self.outputs["ApiUrl"]))

    def aws(self, service: str) -> Any:
        """Return a client of a service of the emulator."""
        return boto3.client(
            service,
            endpoint_url=self.emulator.url,
            region_name=emulators.REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on the database, as its owner."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def enqueue(self, name: str, payload: Any = None, **options: Any) -> str:
        """Enqueue through the API and return the id."""
        reply = self.api.post("/v1/commands", {"name": name, "payload": payload, **options})
        assert reply.status == 201, reply
        return str(reply.body["id"])

    def told(self, function: str) -> dict[str, str]:
        """Return the environment of the function whose name holds this."""
        configurations = self.aws("lambda").list_functions()["Functions"]
        (found,) = [each for each in configurations if function in each["FunctionName"]]
        told: dict[str, str] = found["Environment"]["Variables"]
        return told

    def processes(self, function: str) -> list[psutil.Process]:
        """Return the processes of the emulator in which the function runs whose name holds this."""
        children = psutil.Process(self.emulator.process.pid).children(recursive=True)
        return [child for child in children if function in " ".join(child.cmdline())]

    @contextmanager
    def unheard(self, queue: str) -> Iterator[None]:
        """Let nobody be called for the messages of the queue whose name holds this."""
        mappings = self.aws("lambda").list_event_source_mappings()["EventSourceMappings"]
        (found,) = [mapping for mapping in mappings if queue in mapping["EventSourceArn"]]
        self.aws("lambda").update_event_source_mapping(UUID=found["UUID"], Enabled=False)
        try:
            yield
        finally:
            self.aws("lambda").update_event_source_mapping(UUID=found["UUID"], Enabled=True)

    def finished(self, command_id: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until the API tells of a command's end, and return what it tells."""
        path = f"/v1/commands/{command_id}"
        wait_until(lambda: self.api.get(path).body.get("finished_at"), seconds)
        return self.api.get(path).body


def deploy(folder: Path, emulator: Emulator, postgres: Postgres) -> Deployment:
    """Deploy the shop in a folder."""
    cdk = Cdk(
        emulator,
        folder,
        context={"source": str(folder / "shop")},
        environment={"DUREX_APP": "shop:app", "PYTHONPATH": str(folder)},
    )
    cdk.bootstrap()
    return Deployment(folder, emulator, postgres, cdk, cdk.deploy())
