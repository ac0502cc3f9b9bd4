"""The stack deployed to the emulator of AWS, once for all tests of this folder."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy import emulator as emulators
from deploy.deployment import Deployment, deploy
from deploy.postgres import Postgres
from staging import Stage

SHOP = Path(__file__).with_name("shop")


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """The shop, deployed."""
    with tempfile.TemporaryDirectory(prefix="durex_", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        shutil.copytree(SHOP, folder / "shop", ignore=shutil.ignore_patterns("__pycache__"))
        postgres = Postgres(folder / "data", emulators.free_port())
        postgres.start()
        try:
            emulator = emulators.start(folder, port=emulators.free_port(), postgres=f"127.0.0.1:{postgres.port}")
            try:
                yield deploy(folder, emulator, postgres)
            finally:
                emulator.process.end(grace_seconds=1)
        finally:
            postgres.stop()


@pytest.fixture
def stage(postgres_url: str) -> Iterator[Stage]:
    """The test's own hand in a database of the tests' Postgres."""
    made = Stage(postgres_url)
    yield made
    made.close()
