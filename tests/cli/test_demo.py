import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

MODULE = "functions.commands.demo"
ROOT = Path(__file__).parents[2]
SABOTAGE = """
import dataclasses, runpy
from durex_core.errors import NonRetryable
from functions.commands import app

def lose(*arguments):
    raise {error}("the parcel fell off the lorry")

handlers = app.registry._handlers
handlers["{name}"] = dataclasses.replace(
    handlers["{name}"], function=lose, is_async=False, options={{"retries": 0}}
)
runpy.run_module("{module}", run_name="__main__")
"""


@pytest.fixture
def demo(durex, tmp_path, monkeypatch):
    """Runs the demonstration with a temporary folder of its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    durex.folder = ROOT
    durex.environment["TMPDIR"] = str(tmp_path)
    return lambda *arguments: durex.running(*arguments, module=MODULE)


def test_everything_ends_as_it_should_and_nothing_is_left_behind(demo, tmp_path):
    with demo() as run:
        assert run.end() == 0
    for text in ("6 of 7 shipped", "attempt 2", "in the dead letter queue after 3 attempts", "200, created: false"):
        assert text in run.out
    assert "422 payload.amount: Input should be greater than 0" in run.out
    assert "RuntimeError: this command fails on purpose" in run.out
    assert "Everything ended as it should" in run.out
    assert run.err == ""
    assert not list(tmp_path.glob("durex-demo-*"))


def test_what_was_done_for_a_parcel_that_is_refused_is_undone_backwards(demo):
    with demo() as run:
        assert run.end() == 0
    lines = run.out.splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("A-107 "))
    assert re.fullmatch(r"A-107 .*✔ .*✔ .*✔ .*✘ for good .*ms", lines[row].strip())
    assert re.fullmatch(r"undone +restock ✔ \d+ ms +refund ✔ \d+ ms +◀", lines[row + 1].strip())
    summary = r"undone +order A-107: the carrier .*\s+ship failed for good, so refund and then restock followed"
    assert re.search(summary, run.out)


def test_an_order_whose_undoing_is_not_done_makes_it_fail(durex):
    done = sabotaged(durex, "restock", error="RuntimeError")
    assert done.returncode == 1
    assert re.search(r"undone +restock ✘ +refund ✔ ", done.stdout)
    assert "✘ the order of the refused parcel was not undone" in done.stdout


def test_without_a_terminal_nothing_is_drawn_twice_or_in_colour(demo):
    with demo() as run:
        assert run.end() == 0
    assert "\x1b" not in run.out
    assert run.out.count("31 commands:") == 1
    lines = [line.strip() for line in run.out.splitlines()]
    assert len(lines) < 60
    assert "" in lines[lines.index("31 commands:  29 completed   2 dead_letter") :][:2]


def test_an_order_that_is_not_shipped_makes_it_fail(durex):
    done = sabotaged(durex, "ship", error="NonRetryable")
    assert done.returncode == 1
    assert "0 of 7 shipped" in done.stdout
    assert "✘ an order was not shipped" in done.stdout


def test_on_a_terminal_the_orders_are_seen_moving(durex):
    control, terminal = pty.openpty()
    environment = durex.environment | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen([sys.executable, "-m", MODULE], stdout=terminal, cwd=ROOT, env=environment) as process:
        os.close(terminal)
        drawn = read_to_end(control)
    assert process.returncode == 0
    assert "\x1b[32m" in drawn
    assert drawn.count("commands:") > 10
    assert drawn.count("restock ○") + drawn.count("restock ▶") + drawn.count("restock ✔") > 1
    assert "Everything ended as it should" in drawn


def test_with_keep_it_goes_on_serving_until_interrupted(demo, tmp_path):
    with demo("--keep") as run:
        run.wait_for("Still serving at ")
        url = next(word for word in run.out.split() if word.startswith("http://"))
        with build_opener(ProxyHandler({})).open(f"{url}/v1/health", timeout=10) as response:
            assert json.load(response)["status"] == "healthy"
        run.send(signal.SIGINT)
        assert run.end() == 0
    assert not list(tmp_path.glob("durex-demo-*"))


def test_a_taken_port_is_a_failure_that_says_so(demo):
    with socket.create_server(("127.0.0.1", 0)) as taken, demo("--port", str(taken.getsockname()[1])) as run:
        assert run.end() == 1
    assert run.err.startswith("error: cannot listen on 127.0.0.1")


def sabotaged(durex, name, *, error):
    """Run the demonstration with a command that fails for good."""
    code = SABOTAGE.format(name=name, error=error, module=MODULE)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=durex.environment, capture_output=True, text=True, check=False
    )


def read_to_end(control):
    """Read a terminal until its last writer is gone, which Linux reports as an error."""
    drawn = b""
    try:
        while part := os.read(control, 65536):
            drawn += part
    except OSError:
        pass
    os.close(control)
    return drawn.decode()
