"""The functions' zip: durex, the thin handlers, the application and their dependencies, put together by uv alone.

The wheels are the target's, whatever machine runs synth, and the hash covers all that goes in (the lock above all), so
that a new dependency is deployed and an unchanged one is not. boto3 stays out: the runtime has it.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from infra.refusal import SynthRefused
from infra.settings import ROOT, Settings

_INSTALL_SECONDS = 300
_PLATFORMS = {"arm64": "aarch64-manylinux_2_34", "x86_64": "x86_64-manylinux_2_34"}  # Amazon Linux 2023 has glibc 2.34
_LEFT_OUT = ("__pycache__", "*.pyc", "tests", ".*")
_IN_THE_RUNTIME = ("boto3", "botocore", "s3transfer")


def code(settings: Settings) -> lambda_.Code:
    """Return the asset of all functions; CDK bundles it once for each hash."""
    return lambda_.Code.from_asset(
        str(durex_core()),
        asset_hash_type=AssetHashType.CUSTOM,
        asset_hash=asset_hash(settings),
        bundling=BundlingOptions(image=DockerImage.from_registry("none"), local=_Uv(settings)),
    )


def asset_hash(settings: Settings) -> str:
    """Return the hash over sources, lock, Python version, architecture and the way they are put together."""
    digest = hashlib.sha256()
    for folder in sources(settings):
        digest.update(f"{folder.name} {tree_hash(folder)}\n".encode())
    digest.update(_requirements(settings).read_bytes())
    digest.update(Path(__file__).read_bytes())
    digest.update(f"{settings.python} {_platform(settings) or f'{sys.platform} {settings.machine}'}".encode())
    return digest.hexdigest()


def bundle(settings: Settings, target: Path) -> None:
    """Fill a folder with what the functions' zip holds.

    Raises:
        SynthRefused: a dependency has no wheel for the target, or uv is missing.
    """
    _install(settings, target)
    for folder in sources(settings):
        shutil.copytree(folder, target / folder.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    # uv's lock and the scripts, which name the interpreter of this machine, differ from run to run.
    (target / ".lock").unlink(missing_ok=True)
    shutil.rmtree(target / "bin", ignore_errors=True)
    for cache in list(target.rglob("__pycache__")):
        shutil.rmtree(cache)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # Lambda runs as another user than the one who bundled


def sources(settings: Settings) -> tuple[Path, ...]:
    """Return the folders that go into the zip as they are.

    Raises:
        SynthRefused: one of them is not there.
    """
    folders = (durex_core(), *(ROOT / name for name in dict.fromkeys(("functions", *settings.source))))
    for folder in folders:
        if not folder.is_dir():
            raise SynthRefused(f"setting source: there is no folder {folder}")
    return folders


def durex_core() -> Path:
    """Return the folder of the library that this environment runs."""
    spec = importlib.util.find_spec("durex_core")
    assert spec is not None, "infra is an extra of durex-core"
    assert spec.origin is not None, "durex_core is a package"
    return Path(spec.origin).parent


def migrations_hash() -> str:
    """Return a hash over the SQL that the migration function would run."""
    return tree_hash(durex_core() / "migrations" / "postgres")


def tree_hash(folder: Path) -> str:
    """Return a hash over the files of a folder and their names, but for what the zip leaves out."""
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if any(fnmatch(entry.name, pattern) for pattern in _LEFT_OUT):
            continue
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _install(settings: Settings, target: Path) -> None:
    platform = _platform(settings)
    arguments = [
        *_uv(),
        "pip",
        "install",
        "--quiet",
        f"--python={sys.executable}",  # only to run uv's build machinery: the tags below choose the wheels
        "--link-mode=copy",  # not uv's cache itself, whose files are not ours to change
        "--only-binary=:all:",
        f"--python-version={settings.python}",
        *([f"--python-platform={platform}"] if platform else []),
        f"--target={target}",
        f"--requirements={_requirements(settings)}",
    ]
    try:
        subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)  # noqa: S603  our own words
    except subprocess.CalledProcessError as error:
        raise SynthRefused(f"the functions' dependencies could not be installed: {error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise SynthRefused(f"the functions' dependencies took more than {_INSTALL_SECONDS} s; try again") from None
    _refuse_boto3(target)


def _platform(settings: Settings) -> str | None:
    """Return uv's name of the target, or None where it is this machine."""
    return _PLATFORMS.get(settings.architecture)


def _refuse_boto3(target: Path) -> None:
    doubled = [name for name in _IN_THE_RUNTIME if (target / name).exists()]
    if doubled:
        raise SynthRefused(f"{', '.join(doubled)} would be in the zip twice: Lambda has it; take it out of the lock")


def _requirements(settings: Settings) -> Path:
    path = ROOT / settings.requirements
    if not path.is_file():
        raise SynthRefused(f"setting requirements: there is no file {path}; make it with `make lock`")
    return path


def _uv() -> tuple[str, ...]:
    """Return how to call uv: this environment's own before the machine's."""
    if importlib.util.find_spec("uv"):
        return (sys.executable, "-m", "uv")
    if found := shutil.which("uv"):
        return (found,)
    raise SynthRefused("uv, which puts the functions' zip together, is not installed; pip install uv")


@jsii.implements(ILocalBundling)
class _Uv:
    """Hands CDK's bundling to `bundle`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def try_bundle(self, output_dir: str, *_: Any, **__: Any) -> bool:
        bundle(self._settings, Path(output_dir))
        return True
