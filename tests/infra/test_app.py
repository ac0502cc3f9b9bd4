"""The program that `cdk` runs, as `cdk` runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import ROOT


def synth(folder: Path, **context: object) -> subprocess.CompletedProcess[str]:
    """Run the command of cdk.json with this interpreter and a context."""
    command = json.loads((ROOT / "cdk.json").read_text())["app"].split()
    assert command[0] == "python3"
    environment = {**os.environ, "CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps(context)}
    return subprocess.run(
        [sys.executable, *command[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_synth_bundles_and_says_what_it_costs(tmp_path: Path):
    done = synth(tmp_path)

    assert done.returncode == 0, done.stderr
    assert "durex-production: estimated cost" in done.stderr
    assert "0.83  database, awake for 7 minutes of every 6 hours" in done.stderr
    assert "a million commands" in done.stderr
    assert done.stdout == ""  # the CLI prints the template there
    (asset,) = (path for path in tmp_path.glob("asset.*/durex_core"))
    assert (asset.parent / "functions" / "worker" / "handler.py").is_file()


@pytest.mark.slow
def test_a_refusal_is_a_sentence_and_no_traceback(tmp_path: Path):
    done = synth(tmp_path, max_concurrency=900)

    assert done.returncode == 1
    assert "\ndurex: connections: " in f"\n{done.stderr}"
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.template.json"))


@pytest.mark.slow
def test_a_refusal_while_bundling_is_a_sentence_too(tmp_path: Path):
    lock = tmp_path / "lock.txt"
    lock.write_text("psycopg2==2.9.9\n")

    done = synth(tmp_path / "out", requirements=str(lock))

    assert done.returncode == 1
    assert "durex: the functions' dependencies could not be installed" in done.stderr
    assert "Traceback" not in done.stderr
