"""The manifest: what a deployment is told of an application."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from durex_core import Durex
from durex_core.operations.manifest import manifest

ROOT = Path(__file__).resolve().parents[2]


def test_it_names_commands_and_queues():
    app = Durex("sqlite:///:memory:")
    app.command("small", queue="parcels", timeout=timedelta(seconds=1.5), retries=2)(lambda: None)
    app.command("large", queue="parcels", timeout=timedelta(minutes=2))(lambda: None)
    app.command("free")(lambda: None)
    once = {"permanent": False, "period_seconds": None}

    assert manifest("shop:app", app.registry) == {
        "app": "shop:app",
        "commands": [
            {"name": "small", "queue": "parcels", "retries": 2, "timeout_seconds": 1.5, **once},
            {"name": "large", "queue": "parcels", "retries": 0, "timeout_seconds": 120.0, **once},
            {"name": "free", "queue": "free", "retries": 0, "timeout_seconds": None, **once},
        ],
        "queues": [
            {"name": "parcels", "commands": ["small", "large"], "timeout_seconds": 120.0},
            {"name": "free", "commands": ["free"], "timeout_seconds": None},
        ],
    }


def test_it_tells_which_commands_are_always_there_and_how_often_they_run():
    app = Durex("sqlite:///:memory:")
    app.command("sweep", permanent=True, period=timedelta(minutes=5))(lambda: None)

    (command,) = manifest("shop:app", app.registry)["commands"]

    assert (command["permanent"], command["period_seconds"]) == (True, 300.0)


def test_an_application_without_commands_has_an_empty_one():
    assert manifest("shop:app", Durex().registry) == {"app": "shop:app", "commands": [], "queues": []}


def test_what_the_application_prints_stays_out_of_it(tmp_path):
    (tmp_path / "shop.py").write_text("from durex_core import Durex\napp = Durex('postgresql://x')\nprint('hello')\n")
    (tmp_path / "pyproject.toml").write_text('[tool.durex]\napp = "shop:app"\n')
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DUREX_")}

    for options in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "durex_core.cli", "manifest", *options],
            cwd=tmp_path, env=inherited, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout) == {"app": "shop:app", "commands": [], "queues": []}
        assert "hello" in done.stderr
