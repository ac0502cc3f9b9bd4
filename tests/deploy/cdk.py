"""The CDK command line against the emulator: every run has a timeout, and says what went wrong."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from deploy.emulator import ACCOUNT, REGION, ROOT, Emulator

CDK = ROOT / "node_modules" / ".bin" / "cdk"
OLDEST_NODE = 20
STACK = "durex-local"

_BOOTSTRAP_SECONDS = 120
_DEPLOY_SECONDS = 480
_DESTROY_SECONDS = 180
_LINES = 15
_TELLING = re.compile(r"FAILED|❌|[Ee]rror\b")
_QUIET = {f"JSII_SILENCE_WARNING_{kind}_NODE_VERSION": "1" for kind in ("DEPRECATED", "END_OF_LIFE", "UNTESTED")}


class CdkFailed(Exception):
    """A run of the CDK failed; the message holds what it said of that."""


@dataclass(frozen=True, slots=True)
class Cdk:
    """The CDK with an emulator, a folder for what it writes, and settings of the stack (`-c name=value`).

    `app` is the command that synthesises the stack, where it is not that of `cdk.json`.
    """

    emulator: Emulator
    folder: Path
    context: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    app: str | None = None
    on_line: Callable[[str], None] = lambda _: None

    def bootstrap(self) -> None:
        """Prepare the account, as for any first deployment."""
        self._run(_BOOTSTRAP_SECONDS, "bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", "")

    def deploy(self) -> dict[str, str]:
        """Deploy the stack and return its outputs.

        Raises:
            CdkFailed: it could not be synthesised or deployed, or took too long.
        """
        outputs = self.folder / "outputs.json"
        outputs.unlink(missing_ok=True)
        arguments = ["--require-approval", "never", "--outputs-file", str(outputs), *self._settings()]
        self._run(_DEPLOY_SECONDS, "deploy", *arguments)
        found: dict[str, str] = json.loads(outputs.read_text())[STACK]
        return found

    def destroy(self) -> None:
        """Take the stack down."""
        self._run(_DESTROY_SECONDS, "destroy", "--force", *self._settings())

    def _settings(self) -> list[str]:
        settings = {"stage": "local", "endpoint": self.emulator.url, **self.context}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        app = ["--app", self.app] if self.app else []
        return [*app, "--output", str(self.folder / "cdk.out"), *given]

    def _run(self, seconds: float, *arguments: str) -> None:
        check_node()
        path = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DUREX_"))}
        own = {
            "PATH": path,
            "CI": "true",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "1",
        }
        process = subprocess.Popen(
            [str(CDK), *arguments, "--no-notices"],
            cwd=ROOT,
            env={**inherited, **own, **self.emulator.environment, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        said = _listen(process, seconds, self.on_line)
        log = self.folder / "cdk.log"
        log.write_text("\n".join(said) + "\n")
        if process.returncode:
            why = "failed" if process.returncode > 0 else f"took more than {seconds:g} s and was ended"
            raise CdkFailed(f"`cdk {arguments[0]}` {why}:\n{_essence(said)}\n(all of it: {log}; {self.emulator.log})")


def check_node() -> None:
    """Refuse to go on without what the CDK runs on.

    Raises:
        CdkFailed: Node is missing or too old, or the CDK is not installed.
    """
    node = shutil.which("node")
    if node is None:
        raise CdkFailed("Node.js is not installed, and the CDK runs on it: install Node.js 22 or newer")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        raise CdkFailed(f"Node.js {version} is too old for the CDK: install Node.js 22 or newer")
    if not CDK.exists():
        raise CdkFailed("the CDK's command line is not installed: run `make node_modules/.setup`")


def _listen(process: "subprocess.Popen[str]", seconds: float, on_line: Callable[[str], None]) -> list[str]:
    """Collect what a process says until it ends; end it, and all that it started, after so many seconds."""
    said: list[str] = []
    timer = threading.Timer(seconds, _end, [process])
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                said.append(line.rstrip())
                on_line(said[-1])
        process.wait()
    finally:
        timer.cancel()
        _end(process)
    return said


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        family = psutil.Process(process.pid)
        for member in [*family.children(recursive=True), family]:
            member.kill()


def _essence(said: list[str]) -> str:
    """Return the lines that tell of a failure, or else the last ones."""
    telling = [line for line in said if _TELLING.search(line)]
    return "\n".join(telling[:_LINES] or said[-_LINES:])
