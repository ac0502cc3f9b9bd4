"""The emulator of AWS: MiniStack in its own environment, on a port of this machine."""

import os
import socket
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from deploy import processes

from durex_core.clock import monotonic_seconds

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
ACCOUNT = "000000000000"
REGION = "us-east-1"

_HEALTHY_SECONDS = 30.0
_LAST_LINES = 15

# The emulator hands its own environment on to every function: what is set here must not be found there.
_NOT_HANDED_ON = ("AWS_", "COVERAGE_", "COV_", "DUREX_", "PYTEST_", "PYTHON", "VIRTUAL_ENV")


class EmulatorFailed(Exception):
    """The emulator could not be started; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator."""

    url: str
    process: processes.Started
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes any client of AWS speak to it instead, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


def start(folder: Path, *, port: int, postgres: str, outlives_us: bool = False) -> Emulator:
    """Start the emulator with its state in a folder; `postgres` is the host:port that stands for Aurora.

    It ends with this process, however that ends, unless it is to outlive it.

    Raises:
        EmulatorFailed: it is not installed, the port is taken, or it did not come up.
    """
    if not PYTHON.exists():
        raise EmulatorFailed(
            f"the emulator is not installed in {PYTHON.parents[1].name}; run `make .venv-emulator/.setup`"
        )
    check_free(port)
    for name in ("tmp", "state"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    log = folder / "emulator.log"
    process = processes.start(
        [str(PYTHON), "-I", str(Path(__file__).with_name("launcher.py"))],
        environment={
            **{name: value for name, value in os.environ.items() if not name.startswith(_NOT_HANDED_ON)},
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "localhost",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(folder / "tmp"),
            "STATE_DIR": str(folder / "state"),
            "DUREX_EMULATOR_POSTGRES": postgres,
            **({} if outlives_us else {"DUREX_EMULATOR_PARENT": str(os.getpid())}),
        },
        folder=folder,
        log=log,
    )
    emulator = Emulator(f"http://127.0.0.1:{port}", process, log)
    _wait_until_healthy(emulator)
    return emulator


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def check_free(port: int) -> None:
    """Refuse a port that somebody listens on.

    Raises:
        EmulatorFailed: it is taken.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise EmulatorFailed(f"port {port} is taken ({error.strerror}); choose another with PORT=…") from None


def _wait_until_healthy(emulator: Emulator) -> None:
    deadline = monotonic_seconds() + _HEALTHY_SECONDS
    while monotonic_seconds() < deadline and emulator.process.is_alive:
        try:
            with urllib.request.urlopen(f"{emulator.url}/_ministack/health", timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            threading.Event().wait(0.1)
    emulator.process.end()
    said = "\n".join(emulator.log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
    raise EmulatorFailed(f"the emulator did not come up; the end of {emulator.log}:\n{said}")
