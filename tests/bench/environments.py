"""Environments of their own for peers and for the plot, made when they are first needed, in `.bench/`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".bench"

_SECONDS = 300
_PROBE_SECONDS = 20


class Missing(Exception):
    """An environment cannot be made here; the message says why."""


@cache
def python_of(name: str | None, oldest: tuple[int, int] = (3, 11)) -> Path:
    """Return the interpreter of an environment, made if need be; None is the project's own.

    Raises:
        Missing: there is no Python that is new enough, or its packages do not install.
    """
    if name is None:
        return Path(sys.executable)
    requirements = Path(__file__).with_name(f"requirements-{name}.txt")
    python = FOLDER / name / "bin" / "python"
    stamp = FOLDER / name / ".installed"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        folder()
        _run([str(_interpreter(oldest)), "-m", "venv", "--clear", str(FOLDER / name)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)])
        stamp.write_text(requirements.read_text())
    return python


@cache
def script_of(name: str) -> Path:
    """Return the script of a side in Node, among its packages, installed if need be.

    Raises:
        Missing: there is no Node, or its packages do not install.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("it needs Node.js with npm")
    source, target = Path(__file__).with_name(name), folder() / name
    target.mkdir(exist_ok=True)
    lock, stamp = source / "package-lock.json", target / ".installed"
    for file in source.iterdir():
        shutil.copy(file, target)
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        _run([npm, "ci", "--prefix", str(target), "--no-audit", "--no-fund", "--ignore-scripts"])
        stamp.write_text(lock.read_text())
    return target / "side.cjs"


def version_of(package: str, name: str) -> str:
    """Return the version of a package that an environment pins."""
    source = Path(__file__).parent
    if (source / name).is_dir():
        return str(json.loads((source / name / "package.json").read_text())["dependencies"][package])
    pins = (line.partition("==") for line in (source / f"requirements-{name}.txt").read_text().splitlines())
    return next(version for pinned, _, version in pins if pinned == package)


def folder() -> Path:
    """Return the folder of all that a benchmark makes; git passes over it."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    return FOLDER


def environment() -> dict[str, str]:
    """Return the variables of a side's process: those of this one, but for what would change a side's settings.

    Bytecode is kept, whatever is said here: to compile what is imported is no part of importing it.
    """
    changing = ("DUREX_", "PG", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(changing)}
    return {**kept, "PYTHONPATH": os.pathsep.join((str(ROOT / "tests"), str(ROOT)))}


def _interpreter(oldest: tuple[int, int]) -> Path:
    for python in _interpreters():
        if _version(python) >= oldest:
            return python
    raise Missing(f"it needs Python {oldest[0]}.{oldest[1]} or newer, and none is installed here")


def _interpreters() -> Iterator[Path]:
    """Yield this interpreter, and then others: on the path, and those that pyenv keeps."""
    yield Path(sys.executable)
    found = (shutil.which(f"python3.{minor}") for minor in range(15, 11, -1))
    yield from (Path(python) for python in found if python)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/3.*/bin/python"), reverse=True)


def _version(python: Path) -> tuple[int, ...]:
    asked = [str(python), "-c", "import sys; print(*sys.version_info[:2])"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS)
    return tuple(int(part) for part in answer.stdout.split()) if answer.returncode == 0 else (0,)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        raise Missing(f"{' '.join(command[:4])} …: {(done.stderr or done.stdout).strip()[-500:]}")
