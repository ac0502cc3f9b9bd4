"""cdk-nag on the product: nothing is found but what is acknowledged with its reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Validations
from aws_cdk import aws_lambda as lambda_
from cdk_nag import AwsSolutionsChecks

from infra import alarms, compute
from infra.manifest import Manifest
from infra.settings import ROOT, Settings
from infra.stack import DurexStack


def findings(manifest: Manifest, settings: Settings, folder: Path) -> set[str]:
    """The rules that the stack breaks."""
    app = App(outdir=str(folder))
    code = lambda_.Code.from_asset(str(ROOT / "functions" / "commands"))
    DurexStack(app, settings.stack_name, settings=settings, manifest=manifest, code=code)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        app.synth()
    except RuntimeError as failed:
        if "ValidationFailed" not in str(failed):
            raise
    report: dict[str, Any] = json.loads((folder / "validation-report.json").read_text())
    return {found["ruleName"] for plugin in report["pluginReports"] for found in plugin["violations"]}


def test_the_product_is_clean(example: Manifest, tmp_path: Path):
    assert findings(example, Settings(), tmp_path) == set()


def test_what_is_acknowledged_would_be_found(example: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compute, "acknowledge_network_interfaces", lambda _: None)
    monkeypatch.setattr(alarms, "acknowledge_alarms", lambda _, **__: None)

    found = findings(example, Settings(protected=False), tmp_path)

    any_alarm = "arn:<AWS::Partition>:scheduler:<AWS::Region>:<AWS::AccountId>:schedule/durex-production/*"
    assert found == {
        "AwsSolutions-IAM5[Resource::*]",
        f"AwsSolutions-IAM5[Resource::{any_alarm}]",
        "AwsSolutions-RDS10",
    }
