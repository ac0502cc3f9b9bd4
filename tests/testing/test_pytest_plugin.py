"""The pytest plugin: fixtures for whoever has durex installed, and no burden for the rest of their suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ["-p", "no:durex", "-p", "durex_core.testing.plugin"]

SHOP = """
from durex_core import Durex

app = Durex("sqlite:////no/such/folder/own.db")
ran = []

@app.command("pack")
def pack(what: str) -> str:
    ran.append(what)
    return what
"""

TESTS = """
import shop

def test_commands_run_when_the_test_says_so(durex):
    shop.pack.enqueue("a")
    assert shop.ran == []
    assert durex.run_until_idle() == 1
    assert shop.ran == ["a"]

def test_inline_they_run_at_once(durex_inline):
    shop.pack.enqueue("b")
    assert shop.ran == ["a", "b"]

def test_tests_share_nothing(durex, durex_app):
    assert durex.commands() == []
    assert durex_app is shop.app
"""


@pytest.fixture
def project(tmp_path):
    """A project with an application, and a function that runs pytest in it."""
    (tmp_path / "shop.py").write_text(SHOP)

    def run(tests=TESTS, *, arguments=(), **environment):
        (tmp_path / "tests").mkdir(exist_ok=True)
        (tmp_path / "tests" / "test_shop.py").write_text(tests)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", *PLUGIN, *arguments],
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
            capture_output=True,
            text=True,
        )

    run.folder = tmp_path
    return run


def test_the_application_is_found_by_its_name_in_the_environment(project):
    ran = project(DUREX_APP="shop:app")

    assert "3 passed" in ran.stdout, ran.stdout


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_the_application_is_found_by_the_project(project, mode):
    (project.folder / "pyproject.toml").write_text(
        f'[tool.durex]\napp = "shop:app"\n[tool.pytest.ini_options]\naddopts = "--import-mode={mode}"\n'
        'filterwarnings = ["error"]\npythonpath = ["."]\n'
    )

    ran = project()

    assert "3 passed" in ran.stdout, ran.stdout


def test_the_application_may_be_given_by_a_fixture(project):
    (project.folder / "conftest.py").write_text(
        "import pytest, shop\n@pytest.fixture\ndef durex_app():\n    return shop.app\n"
    )

    ran = project()

    assert "3 passed" in ran.stdout, ran.stdout


def test_an_application_that_nobody_names_is_an_error_that_says_how(project):
    (project.folder / "pyproject.toml").write_text("")

    ran = project("def test_one(durex): ...")

    assert "1 error" in ran.stdout, ran.stdout
    assert "name it with" in ran.stdout
    assert "DUREX_APP" in ran.stdout


def test_a_suite_that_does_not_use_it_imports_nothing_of_durex(project):
    ran = project(
        """
import sys

def test_one():
    loaded = {name for name in sys.modules if name.startswith("durex_core")}
    assert loaded == {"durex_core", "durex_core.testing", "durex_core.testing.plugin"}
    assert not {"psycopg", "pydantic", "sqlite3"} & set(sys.modules)
"""
    )

    assert "1 passed" in ran.stdout, ran.stdout


def test_coverage_of_the_suite_is_as_without_it(project):
    ran = project(arguments=["-p", "pytest_cov", "--cov=shop", "--cov-fail-under=100"], DUREX_APP="shop:app")

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_fixtures_are_listed_with_what_they_are(project):
    ran = project(arguments=["--fixtures"])

    assert "durex_inline -- " in ran.stdout, ran.stdout
    assert "A harness around the application: commands run before" in ran.stdout
