"""Every example of docs/testing.md runs, as the files that it says they are."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
PLUGIN = ["-p", "no:durex", "-p", "durex_core.testing.plugin"]

_EXAMPLE = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)


def test_every_example_is_a_file():
    page = PAGE.read_text()

    assert len(_EXAMPLE.findall(page)) == page.count("```") // 2 >= 10


def test_the_examples_pass(tmp_path, postgres_server):
    examples = _EXAMPLE.findall(PAGE.read_text())
    for name, text in examples:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    environment = os.environ | {
        "DUREX_DATABASE_URL": "sqlite:////no/such/folder/own.db",
        "DUREX_TEST_DATABASE_URL": postgres_server,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(ROOT),
    }

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *PLUGIN],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    tests = sum(text.count("\ndef test_") for _, text in examples)
    assert f"{tests} passed" in ran.stdout
