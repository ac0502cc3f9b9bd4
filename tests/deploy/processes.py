"""Processes that are ended by those who started them: by their id, and only if it is still the same process."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Started:
    """A process that we started; its id alone may be another's by now."""

    pid: int
    created_at: float

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._found() is not None

    def end(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask it and its children to end; kill those that are left after a grace period."""
        process = self._found()
        if process is None:
            return
        family = [process, *process.children(recursive=True)]
        for member in family:
            _signal(member, psutil.Process.terminate)
        _, left = psutil.wait_procs(family, timeout=grace_seconds)
        for member in left:
            _signal(member, psutil.Process.kill)
        psutil.wait_procs(left, timeout=GRACE_SECONDS)

    def _found(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            is_ours = process.create_time() == self.created_at and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if is_ours else None


def start(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Started:
    """Start a process in a session of its own, so that Ctrl-C here does not reach it; it writes to a log.

    Its environment is what is given here, and nothing else.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _started.append(process)
    return Started(process.pid, psutil.Process(process.pid).create_time())


# Popen objects must be kept: one that is collected while its process runs warns, and warnings are errors.
_started: list[subprocess.Popen[bytes]] = []


def _signal(process: psutil.Process, send: "type[psutil.Process.terminate]") -> None:
    try:
        send(process)
    except psutil.NoSuchProcess:
        return
