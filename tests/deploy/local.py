"""`make deploy-local` and `make undeploy-local`: the whole stack on this machine.

`up` starts a Postgres and the emulator of AWS and deploys to it; again, it deploys to what runs already. `down` ends
what `up` started, by the ids that it wrote down, and nothing else.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from subprocess import CalledProcessError, SubprocessError
from typing import Any

from deploy import emulator as emulators
from deploy.cdk import Cdk, CdkFailed, check_node
from deploy.client import ApiClient, curl_line, local_url
from deploy.emulator import ROOT, Emulator, EmulatorFailed
from deploy.postgres import Postgres
from deploy.processes import Started

FOLDER = ROOT / ".deploy-local"
STATE = FOLDER / "state.json"
DEFAULT_PORT = "4566"
EXAMPLE = {"name": "process_order", "payload": {"id": "42", "amount": 999}}

_PROGRESS = re.compile(r"\| +(\d+)/(\d+) +\|")


def main() -> None:
    """Obey `up` or `down`."""
    match sys.argv[1:]:
        case ["up"]:
            sys.exit(up())
        case ["down"]:
            down()
        case _:
            sys.exit("use: python -m deploy.local up|down")


def up() -> int:
    """Deploy to this machine and say where the API is; return the exit code."""
    was_running = is_running()
    try:
        check_node()
        emulator = resume() if was_running else start(int(os.environ.get("PORT") or DEFAULT_PORT))
        url = deploy(emulator)
    except (CdkFailed, EmulatorFailed, SubprocessError, OSError, ValueError) as error:
        print(f"\nfailed: {reason(error)}", file=sys.stderr)
        if not was_running and STATE.exists():
            end()
            print(f"what was started is ended; the logs are in {FOLDER.name}/", file=sys.stderr)
        return 1
    print(f"\nApiUrl    {url}\n\nTry it (`make undeploy-local` ends it):\n\n  {curl_line(url, EXAMPLE)}\n")
    return 0


def down() -> None:
    """End what `up` started and forget it."""
    was_running = is_running()
    end()
    shutil.rmtree(FOLDER, ignore_errors=True)
    print("ended" if was_running else "nothing was running")


def start(port: int) -> Emulator:
    """Start Postgres and the emulator, and write down what must be ended, each at once."""
    end()
    emulators.check_free(port)
    FOLDER.mkdir(exist_ok=True)
    # Not in the project: Postgres runs as another user if we are root, and must be able to get there.
    postgres = Postgres(Path(tempfile.mkdtemp(prefix="durex_")) / "data", emulators.free_port())
    write_down(postgres, None)
    say(f"starting Postgres on port {postgres.port}")
    postgres.start()
    say(f"starting the emulator of AWS on port {port}")
    emulator = emulators.start(FOLDER, port=port, postgres=f"127.0.0.1:{postgres.port}", outlives_us=True)
    write_down(postgres, emulator)
    say("preparing the account (cdk bootstrap)")
    Cdk(emulator, FOLDER).bootstrap()
    return emulator


def resume() -> Emulator:
    """Return the emulator that runs already."""
    _, emulator = read()
    assert emulator is not None, "it runs"
    say(f"using what runs at {emulator.url}")
    return emulator


def deploy(emulator: Emulator) -> str:
    """Deploy the stack, see that its API answers, and return where."""
    say("deploying the stack (cdk deploy); the first time takes half a minute")
    outputs = Cdk(emulator, FOLDER, on_line=Progress()).deploy()
    url = local_url(emulator, outputs["ApiUrl"])
    reply = ApiClient(url).get("/v1/health")
    if reply.status != 200:
        raise CdkFailed(f"the API answers {reply.status}: {reply.body}; the emulator's log is {emulator.log}")
    return url


class Progress:
    """Tells of the resources of a deployment, a few times."""

    def __init__(self) -> None:
        """Begin at none."""
        self._told = 0

    def __call__(self, line: str) -> None:
        """Hear a line of the CDK's."""
        match = _PROGRESS.search(line)
        if match and (int(match[1]) >= self._told + 20 or match[1] == match[2]):
            self._told = int(match[1])
            say(f"{match[1]} of {match[2]} resources")
        elif "❌" in line or "ROLLBACK" in line:
            say(line.strip())


def is_running() -> bool:
    """Whether what `up` started still runs."""
    _, emulator = read()
    return emulator is not None and emulator.process.is_alive


def end() -> None:
    """End what is written down, by its id, and forget it."""
    postgres, emulator = read()
    if emulator is not None:
        emulator.process.end()
    if postgres is not None:
        postgres.stop()
        shutil.rmtree(postgres.folder.parent, ignore_errors=True)
    STATE.unlink(missing_ok=True)


def write_down(postgres: Postgres, emulator: Emulator | None) -> None:
    """Remember what runs."""
    state: dict[str, Any] = {"postgres": {"folder": str(postgres.folder), "port": postgres.port}}
    if emulator is not None:
        process = {"pid": emulator.process.pid, "created_at": emulator.process.created_at}
        state["emulator"] = {"url": emulator.url, "log": str(emulator.log), "process": process}
    STATE.write_text(json.dumps(state, indent=2) + "\n")


def read() -> tuple[Postgres | None, Emulator | None]:
    """Return what was written down."""
    if not STATE.exists():
        return None, None
    state = json.loads(STATE.read_text())
    postgres = Postgres(Path(state["postgres"]["folder"]), state["postgres"]["port"])
    found = state.get("emulator")
    return postgres, Emulator(found["url"], Started(**found["process"]), Path(found["log"])) if found else None


def reason(error: Exception) -> str:
    """Say why a step failed."""
    return f"{error}\n{error.stderr or ''}" if isinstance(error, CalledProcessError) else str(error)


def say(text: str) -> None:
    """Show progress."""
    print(f"▸ {text}", flush=True)


if __name__ == "__main__":
    main()
