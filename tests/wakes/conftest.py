"""Processes in which thousands of simulations run side by side, and the grounds of the wake suite."""

import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest
from deploy import emulator as emulators
from factories import START
from wakes import many_seeds
from wakes.grounds import LocalGround, SqsGround, emulated, simulated

from durex_core.clock import utc_now
from durex_core.store.database import open_database


@pytest.fixture(scope="session")
def processes() -> Iterator[Executor]:
    """Two processes of their own: what runs there is not slowed down by the measuring of coverage."""
    with many_seeds.pool(2) as pool:
        yield pool


@pytest.fixture(scope="session")
def emulated_sqs() -> Iterator[Any]:
    """A client of an emulator's SQS, which nobody else in this process speaks to."""
    import boto3  # noqa: PLC0415  slow to import

    with tempfile.TemporaryDirectory(prefix="durex_", ignore_cleanup_errors=True) as folder:
        emulator = emulators.start(Path(folder), port=emulators.free_port(), postgres="127.0.0.1:1")
        names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
        given = {name: emulator.environment[variable] for name, variable in names.items()}
        yield boto3.client("sqs", endpoint_url=emulator.url, region_name=emulator.environment["AWS_REGION"], **given)
        emulator.process.end(grace_seconds=0.2)


@pytest.fixture(params=["simulated", "emulated"])
def sqs_ground(request: pytest.FixtureRequest) -> SqsGround:
    """Queues of SQS, simulated and emulated."""
    if request.param == "simulated":
        return simulated(START)
    return emulated(request.getfixturevalue("emulated_sqs"), f"test-{uuid.uuid4().hex}", utc_now)


@pytest.fixture(params=["local", "simulated", "emulated"])
def ground(request: pytest.FixtureRequest) -> Iterator[LocalGround | SqsGround]:
    """Every way to wake in turn."""
    if request.param == "local":
        database = open_database("sqlite:///:memory:")
        yield LocalGround(database)
        database.close()
    elif request.param == "simulated":
        yield simulated(START)
    else:
        yield emulated(request.getfixturevalue("emulated_sqs"), f"test-{uuid.uuid4().hex}", utc_now)
