"""Stacks for the tests, synthesised once each: their functions hold a stub, the real zip is tested by itself."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

from aws_cdk import App
from aws_cdk import aws_lambda as lambda_

from infra import manifest as manifests
from infra.manifest import Manifest
from infra.settings import ROOT, Settings
from infra.stack import DurexStack

STUB = str(ROOT / "functions" / "commands")

Resource = dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """A synthesised template, and questions to it."""

    stack: DurexStack
    template: dict[str, Any]

    def all(self, kind: str) -> dict[str, Resource]:
        """The properties of each resource of a kind, by logical id."""
        found = self.template["Resources"].items()
        return {name: resource.get("Properties", {}) for name, resource in found if resource["Type"] == kind}

    def one(self, kind: str) -> Resource:
        """The properties of the only resource of a kind."""
        (properties,) = self.all(kind).values()
        return properties

    @property
    def functions(self) -> dict[str, Resource]:
        """Our functions by their part: migrate, enqueue, api, tick, drain, and `worker of QUEUE`."""
        ours = [f for f in self.all("AWS::Lambda::Function").values() if "DUREX_APP" in environment(f)]
        return {_part(function): function for function in ours}

    @property
    def workers(self) -> dict[str, Resource]:
        """The workers by their queue."""
        return {environment(f)["DUREX_QUEUE"]: f for f in self.functions.values() if "DUREX_QUEUE" in environment(f)}

    def logical_id(self, properties: Resource) -> str:
        """The logical id of a resource."""
        return next(name for name, r in self.template["Resources"].items() if r.get("Properties") is properties)

    def depends_on(self, properties: Resource) -> list[str]:
        """What CloudFormation makes before a resource."""
        return list(self.template["Resources"][self.logical_id(properties)].get("DependsOn", []))

    def rights(self, function: Resource) -> list[Resource]:
        """The statements of a function's own role."""
        role = function["Role"]["Fn::GetAtt"][0]
        policies = self.all("AWS::IAM::Policy").values()
        own = [policy["PolicyDocument"]["Statement"] for policy in policies if {"Ref": role} in policy["Roles"]]
        return [statement for statements in own for statement in statements]

    def shared_rights(self, function: Resource) -> list[str]:
        """The logical ids of the policies that a function's role has in common with others."""
        role = self.template["Resources"][function["Role"]["Fn::GetAtt"][0]]["Properties"]
        return [policy["Ref"] for policy in role["ManagedPolicyArns"]]


def environment(function: Resource) -> Resource:
    """A function's environment."""
    return function.get("Environment", {}).get("Variables", {})


def _part(function: Resource) -> str:
    _, part, *_ = function["Handler"].split(".")
    return f"worker of {environment(function)['DUREX_QUEUE']}" if part == "worker" else part


def make_manifest(*commands: tuple[str, str, float | None], app: str = "functions.commands:app") -> Manifest:
    """A manifest of commands, each with its queue and timeout."""
    queues: dict[str, list[tuple[str, float | None]]] = {}
    for name, queue, seconds in commands:
        queues.setdefault(queue, []).append((name, seconds))
    document = {
        "app": app,
        "commands": [{"name": n, "queue": q, "retries": 3, "timeout_seconds": s} for n, q, s in commands],
        "queues": [
            {
                "name": queue,
                "commands": [name for name, _ in members],
                "timeout_seconds": max((seconds for _, seconds in members if seconds), default=None),
            }
            for queue, members in queues.items()
        ],
    }
    return manifests.parse(json.dumps(document), source="the test")


@pytest.fixture(scope="session")
def manifest_of() -> Callable[..., Manifest]:
    return make_manifest


@pytest.fixture(scope="session")
def example() -> Manifest:
    """The example application's manifest, as its own environment tells it."""
    return manifests.load(Settings())


@pytest.fixture(scope="session")
def synthesise() -> Iterator[Callable[..., Deployment]]:
    with TemporaryDirectory(prefix="durex_synth_") as folder:

        def run(manifest: Manifest, settings: Settings) -> Deployment:
            app = App(outdir=str(Path(folder) / str(len(list(Path(folder).iterdir())))))
            code = lambda_.Code.from_asset(STUB)
            stack = DurexStack(app, settings.stack_name, settings=settings, manifest=manifest, code=code)
            return Deployment(stack, app.synth().get_stack_by_name(stack.stack_name).template)

        yield run


@pytest.fixture(scope="session")
def product(synthesise: Callable[..., Deployment], example: Manifest) -> Deployment:
    """What a real account gets: every default, and the example application."""
    return synthesise(example, Settings())


@pytest.fixture(scope="session")
def awake(synthesise: Callable[..., Deployment], example: Manifest) -> Deployment:
    """The same with a tick each minute, for a database that never pauses."""
    return synthesise(example, Settings(sleeping=False))
