"""`make deploy-local` when something is in its way: it says what, and ends what it started and nothing else."""

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from deploy import cdk, emulator, local, processes
from deploy.cdk import Cdk, CdkFailed
from deploy.emulator import Emulator, EmulatorFailed
from staging import wait_until

NOBODY = processes.Started(pid=2**22, created_at=0.0)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep away from what somebody deployed on this machine."""
    monkeypatch.setattr(local, "FOLDER", tmp_path / "deploy-local")
    monkeypatch.setattr(local, "STATE", tmp_path / "deploy-local" / "state.json")


def a_script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def an_emulator(tmp_path: Path) -> Emulator:
    return Emulator("http://127.0.0.1:1", NOBODY, tmp_path / "emulator.log")


@pytest.mark.usefixtures("tools")
def test_a_missing_node_is_named(capsys):
    assert local.up() == 1

    assert "Node.js is not installed, and the CDK runs on it" in capsys.readouterr().err
    assert not local.STATE.exists()


def test_an_old_node_is_named(tools):
    a_script(tools / "node", "echo v16.20.2")

    with pytest.raises(CdkFailed, match=r"Node.js v16.20.2 is too old"):
        cdk.check_node()


def test_a_cdk_that_is_not_installed_is_named(tools, monkeypatch):
    a_script(tools / "node", "echo v22.0.0")
    monkeypatch.setattr(cdk, "CDK", tools / "cdk")

    with pytest.raises(CdkFailed, match=r"make node_modules/\.setup"):
        cdk.check_node()


def test_a_port_that_is_taken_is_named(monkeypatch, capsys):
    monkeypatch.setattr(local, "check_node", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))

        assert local.up() == 1

    assert f"port {port} is taken" in capsys.readouterr().err


def test_an_emulator_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(emulator, "PYTHON", tmp_path / ".venv-emulator" / "bin" / "python")

    with pytest.raises(EmulatorFailed, match=r"make .venv-emulator/.setup"):
        emulator.start(tmp_path, port=emulator.free_port(), postgres="127.0.0.1:1")


def test_an_emulator_that_does_not_come_up_tells_why(tmp_path, monkeypatch):
    python = a_script(tmp_path / "python", "echo no such module; exit 1")
    monkeypatch.setattr(emulator, "PYTHON", python)

    with pytest.raises(EmulatorFailed, match="no such module"):
        emulator.start(tmp_path, port=emulator.free_port(), postgres="127.0.0.1:1")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo starting; exec sleep 60", "took more than 0.5 s and was ended"),
        ("echo 'stack | 1/9 | CREATE_FAILED | AWS::SQS::Queue'; exit 1", "(?s)`cdk bootstrap` failed:.*CREATE_FAILED"),
    ],
)
def test_a_cdk_that_hangs_or_fails_is_told_of(tmp_path, monkeypatch, script, message):
    monkeypatch.setattr(cdk, "check_node", lambda: None)
    monkeypatch.setattr(cdk, "CDK", a_script(tmp_path / "cdk", script))
    monkeypatch.setattr(cdk, "_BOOTSTRAP_SECONDS", 0.5)

    with pytest.raises(CdkFailed, match=message):
        Cdk(an_emulator(tmp_path), tmp_path).bootstrap()


def test_a_process_is_ended_with_its_children(tmp_path):
    children = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    started = processes.start(
        [sys.executable, "-c", children], environment=os.environ, folder=tmp_path, log=tmp_path / "log"
    )
    wait_until(lambda: bool(psutil.Process(started.pid).children()))
    (child,) = psutil.Process(started.pid).children()

    started.end()

    assert not started.is_alive
    assert not child.is_running()


def test_a_process_that_took_over_the_id_is_left_alone(tmp_path):
    started = processes.start(
        [shutil.which("sleep") or "sleep", "60"], environment=os.environ, folder=tmp_path, log=tmp_path / "log"
    )

    replace(started, created_at=started.created_at - 100).end()

    assert started.is_alive
    started.end()
    assert not started.is_alive


def test_to_end_what_does_not_run_is_no_error(capsys):
    local.down()

    assert capsys.readouterr().out == "nothing was running\n"


@pytest.mark.slow
def test_the_tests_own_emulator_ends_with_them_however_they_end(tmp_path):
    start = (
        "import os, sys; from pathlib import Path; from deploy import emulator\n"
        f"started = emulator.start(Path({str(tmp_path)!r}), port=emulator.free_port(), postgres='127.0.0.1:1')\n"
        "print(started.process.pid, flush=True); os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", start],
        env={**os.environ, "PYTHONPATH": str(emulator.ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 9, done.stderr
    wait_until(lambda: not psutil.pid_exists(int(done.stdout)))
