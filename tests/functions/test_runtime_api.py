"""Handlers as Lambda runs them, on this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from durex_core.local.runtime_api import LambdaFunction

CODE = """
import os, sys, threading

count = 0


def handler(event, context):
    global count
    count += 1
    match event:
        case "raise":
            raise ValueError("on purpose")
        case "exit":
            sys.exit(3)
        case "die":
            os._exit(4)
        case "hang":
            threading.Event().wait(60)
        case "context":
            return [context.function_name, context.get_remaining_time_in_millis(), context.aws_request_id]
        case "environment":
            return [os.environ["COLOUR"], os.environ["AWS_REGION"], os.getcwd()]
        case "print":
            print("hello from inside")
    return count
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., LambdaFunction]]:
    """Make a function of a piece of code."""
    made = []

    def start(code: str = CODE, **options) -> LambdaFunction:
        (tmp_path / "some_module.py").write_text(code)
        made.append(LambdaFunction("some_module.handler", folder=str(tmp_path), **options))
        return made[-1]

    yield start
    for running in made:
        running.__exit__()


def test_a_process_is_kept_from_one_invocation_to_the_next(make):
    with make() as running:
        assert [running.invoke(event).body for event in ({}, None, [1])] == [1, 2, 3]
        assert running.starts == 1


def test_an_exception_is_described_and_the_process_is_kept(make):
    with make() as running:
        answer = running.invoke("raise")

        assert answer.is_error
        assert (answer.body["errorType"], answer.body["errorMessage"]) == ("ValueError", "on purpose")
        assert running.invoke({}).body == 2


@pytest.mark.parametrize(("event", "code"), [("exit", 3), ("die", 4)])
def test_a_process_that_ended_is_replaced(make, event, code):
    with make() as running:
        answer = running.invoke(event)

        assert answer.body == {"errorType": "Runtime.ExitError", "errorMessage": f"the process ended with code {code}"}
        assert running.invoke({}).body == 1
        assert running.starts == 2


def test_a_handler_that_takes_too_long_is_killed(make):
    with make(timeout_seconds=0.3) as running:
        answer = running.invoke("hang")

        assert answer.body == {"errorType": "Sandbox.Timedout", "errorMessage": "the handler took longer than 0.3 s"}
        assert running.process_id is None
        assert running.invoke({}).body == 1


def test_code_that_cannot_be_imported_is_an_error_of_the_start(make):
    with make("import nothing_of_that_name") as running:
        assert [running.invoke({}).body["errorType"] for _ in range(2)] == ["Runtime.ImportModuleError"] * 2
        assert running.starts == 2


def test_a_handler_is_told_what_lambda_tells(make, tmp_path):
    with make(timeout_seconds=9, environment={"COLOUR": "red", "AWS_REGION": "eu-west-1"}) as running:
        name, milliseconds, request_id = running.invoke("context").body
        assert (name, len(request_id)) == ("local", 36)
        assert 5_000 < milliseconds <= 9_000
        assert running.invoke("environment").body == ["red", "eu-west-1", str(tmp_path)]


def test_what_a_handler_prints_goes_to_stderr(make, capfd):
    with make() as running:
        running.invoke("print")

    out, err = capfd.readouterr()
    assert (out, "hello from inside" in err) == ("", True)
