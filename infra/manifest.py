"""The commands and queues of the application, as `durex manifest` tells them.

The command runs in the application's own environment, in a process of its own: synth never imports the user's code.
"""

import os
import re
import subprocess
from collections import Counter
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from infra.refusal import SynthRefused
from infra.settings import ROOT, Settings

_CONFIG = ConfigDict(extra="ignore")  # a newer durex may say more than this stack asks
_RUN_SECONDS = 120

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$", max_length=100)]
Seconds = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class ManifestCommand:
    """A command: its queue, what bounds an attempt, and whether one is always there that runs again and again."""

    name: Name
    queue: Name
    retries: Annotated[int, Field(ge=0)]
    timeout_seconds: Seconds | None = None
    permanent: bool = False
    period_seconds: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class ManifestQueue:
    """A queue, the commands that share it, and the longest timeout among them."""

    name: Name
    commands: tuple[Name, ...]
    timeout_seconds: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Manifest:
    """What synth knows of an application."""

    app: Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$")]
    commands: tuple[ManifestCommand, ...]
    queues: tuple[ManifestQueue, ...]

    @property
    def package(self) -> str:
        """The top package of the application, which the functions' zip must hold."""
        return re.split(r"[.:]", self.app)[0]


def load(settings: Settings) -> Manifest:
    """Read the manifest from its file, or from the application itself.

    Raises:
        SynthRefused: there is none, or it is malformed.
    """
    if settings.manifest is None:
        return parse(_run(settings), source="durex manifest")
    try:
        text = settings.manifest.read_text(encoding="utf-8")
    except OSError as error:
        raise SynthRefused(f"the manifest {settings.manifest} cannot be read: {error.strerror}") from None
    return parse(text, source=str(settings.manifest))


def parse(text: str, *, source: str) -> Manifest:
    """Check a manifest's JSON.

    Raises:
        SynthRefused: it is malformed; every fault is named by its place.
    """
    try:
        manifest = TypeAdapter(Manifest).validate_json(text)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, f['loc'])) or 'document'}: {f['msg']}" for f in error.errors())
        raise SynthRefused(f"{source} is no manifest: {'; '.join(faults)}") from None
    for kind, names in (("command", manifest.commands), ("queue", manifest.queues)):
        doubled = [name for name, count in Counter(item.name for item in names).items() if count > 1]
        if doubled:
            raise SynthRefused(f"{source} names the {kind} {doubled[0]!r} twice")
    return manifest


def _run(settings: Settings) -> str:
    command = [settings.app_python, "-m", "durex_core.cli", "manifest", "--json"]
    try:
        done = subprocess.run(  # noqa: S603  the interpreter is the deployer's own setting
            command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SynthRefused(f"the application's registry could not be read: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise SynthRefused(
            f"`{' '.join(command[1:])}` failed with exit code {done.returncode}: {said}\n"
            "  run it by hand to mend the application, name its interpreter with -c app_python=…,"
            " or hand over a written manifest with -c manifest=FILE"
        )
    return done.stdout
