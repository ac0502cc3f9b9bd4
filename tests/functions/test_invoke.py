"""`durex invoke`: a handler on this machine, as Lambda would run it."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from durex_core.cli.group import run

ROOT = Path(__file__).resolve().parents[2]
Durex = Callable[..., CompletedProcess[str]]


@pytest.fixture
def durex(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Durex:
    """Run the command line on a fresh SQLite file, as somebody does who has set nothing else."""
    for name in list(os.environ):
        if name.startswith(("DUREX_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DUREX_DATABASE_URL", sqlite_url)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def invoke(*arguments: str, folder: Path = ROOT, text: str = "") -> CompletedProcess[str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return CompletedProcess(arguments, run(["invoke", *arguments]), *capsys.readouterr())

    return invoke


@pytest.mark.slow
def test_every_event_runs_without_aws(durex):
    expected = {
        "migrate": ("migrate", lambda answer: answer == {"applied": []}),
        "enqueue": ("enqueue", lambda answer: answer["statusCode"] == 201),
        "get_command": ("api", lambda answer: answer["statusCode"] == 404),
        "find_commands": ("api", lambda answer: answer["statusCode"] == 200),
        "stats": ("api", lambda answer: answer["statusCode"] == 200),
        "cancel_command": ("api", lambda answer: answer["statusCode"] == 404),
        "retry_command": ("api", lambda answer: answer["statusCode"] == 404),
        "health": ("api", lambda answer: answer["statusCode"] == 200),
        "wake": ("worker", lambda answer: answer == {"batchItemFailures": []}),
        "wake_malformed": ("worker", lambda answer: answer == {"batchItemFailures": []}),
        "ingest": ("drain", lambda answer: answer == {"batchItemFailures": []}),
        "tick": ("tick", lambda answer: answer["due"] == {"process_order": 0, "stock": 0}),
        "alarm": ("tick", lambda answer: answer["due"] == {"process_order": 0, "stock": 0}),
    }
    assert set(expected) == {path.stem for path in (ROOT / "events").glob("*.json")}

    for event, (function, is_right) in expected.items():
        done = durex(function, f"events/{event}.json")
        assert (done.returncode, is_right(json.loads(done.stdout))) == (0, True), f"{event}: {done.stdout}{done.stderr}"


@pytest.mark.slow
def test_a_handler_by_its_path_with_what_it_is_given(durex, tmp_path):
    (tmp_path / "handlers.py").write_text(
        "import os\n\n\ndef echo(event, context):\n"
        "    print('inside')\n"
        "    return [event, os.environ['COLOUR'], context.get_remaining_time_in_millis() <= 5000]\n"
    )

    done = durex(
        "handlers.echo", "-", "--timeout", "5", "--env", "COLOUR=a=b", "--json", "--app",
        "functions.commands:app", folder=tmp_path, text='{"a": [1]}',
    )  # fmt: skip

    assert json.loads(done.stdout) == [{"a": [1]}, "a=b", True]
    assert done.returncode == 0


@pytest.mark.slow
def test_it_works_from_a_folder_inside_the_project(durex):
    done = durex("api", "../events/health.json", folder=ROOT / "docs")

    assert json.loads(done.stdout)["statusCode"] == 200, done.stderr


@pytest.mark.slow
def test_a_handler_that_fails_is_a_failure(durex):
    done = durex("functions.nothing.handler", "events/tick.json", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["errorType"] == "Runtime.ImportModuleError"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "events/tick.json"], "'nothing' is no function; use enqueue, api, worker, tick, migrate"),
        (["tick", "events/nothing.json"], "No such file"),
        (["tick", "README.md"], "README.md is not JSON"),
        (["tick", "events/tick.json", "--env", "COLOUR"], "write NAME=VALUE"),
        (["tick", "events/tick.json", "--timeout", "soon"], "is not a number of seconds"),
        (["tick", "events/tick.json", "--app", "nowhere:app"], "cannot import 'nowhere'"),
        (["tick"], "Missing argument"),
    ],
)
def test_wrong_use_is_told(durex, arguments, message):
    done = durex(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
