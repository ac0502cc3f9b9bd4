"""What an application's own type checker says of its commands: nothing of what is right, and of every mistake.

The files in `cases` say with `# error` where a checker is to find something.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
PYRIGHT = ROOT / "node_modules/.bin/pyright"

Errors = dict[str, dict[int, str]]
"""What a checker found, by file and line."""


def run(*command: str | Path) -> str:
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout


def found(errors: list[tuple[str, int, str]]) -> Errors:
    by_file: Errors = {}
    for file, line, message in errors:
        by_file.setdefault(Path(file).name, {})[line] = message
    return by_file


@pytest.fixture(scope="module")
def mypy() -> Errors:
    """What mypy finds, as strict as this project has it."""
    output = run(sys.executable, "-m", "mypy", "--cache-dir", ".mypy_cache/types", "--output", "json", *CASES)
    documents = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return found([(one["file"], one["line"], one["message"]) for one in documents if one["severity"] == "error"])


@pytest.fixture(scope="module")
def pyright() -> Errors:
    """What pyright finds in its strict mode."""
    assert PYRIGHT.exists(), "`npm ci` installs pyright, which needs Node; DEPLOY=0 leaves it out"
    project = Path(__file__).parent / "pyrightconfig.json"
    document = json.loads(run(PYRIGHT, "--project", project, "--pythonpath", sys.executable, "--outputjson"))
    assert document["summary"]["filesAnalyzed"] == len(CASES)
    return found(
        [
            (one["file"], one["range"]["start"]["line"] + 1, one["message"])
            for one in document["generalDiagnostics"]
            if one["severity"] == "error"
        ]
    )


def expected(case: Path) -> list[int]:
    return [number for number, line in enumerate(case.read_text().splitlines(), 1) if re.search("# error$", line)]


@pytest.fixture
def check() -> Callable[[Errors, Path], None]:
    """Compare what was found in a file with what it says itself."""

    def compare(errors: Errors, case: Path) -> None:
        in_case = errors.get(case.name, {})
        surprises = {number: in_case[number] for number in in_case.keys() - set(expected(case))}
        assert (surprises, set(expected(case)) - in_case.keys()) == ({}, set())

    return compare


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_mypy_finds_the_mistakes_and_nothing_else(mypy: Errors, case: Path, check):
    check(mypy, case)


@pytest.mark.deploy
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_pyright_finds_the_mistakes_and_nothing_else(pyright: Errors, case: Path, check):
    check(pyright, case)


def test_there_are_mistakes_to_find():
    assert [len(expected(case)) > 0 for case in CASES] == [False, True]
