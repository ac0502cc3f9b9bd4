"""The functions' zip, as it was built for the deployment: every handler runs from it, with nothing else on the path.

The emulator runs functions beside its own packages, so that one that is missing from the zip would go unseen there.
"""

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from deploy.deployment import Deployment

from durex_core.local.runtime_api import LambdaFunction

pytestmark = [pytest.mark.slow, pytest.mark.deploy, pytest.mark.timeout(400)]

EVENTS = Path(__file__).resolve().parents[2] / "events"

# Lambda's runtime has its client, boto3 and what that needs, under paths of its own.
IN_THE_RUNTIME = (
    "awslambdaric",
    "boto3",
    "botocore",
    "dateutil",
    "jmespath",
    "runtime_client",
    "s3transfer",
    "simplejson",
    "six",
    "snapshot_restore_py",
    "urllib3",
)
START = """
import sys
sys.path = [{zip!r}, {runtime!r}, *sys.path]
from awslambdaric.__main__ import main
main(sys.argv)
"""


@pytest.fixture(scope="module")
def zip_folder(deployment: Deployment) -> Path:
    """The unpacked zip; if the stack was deployed several times, the first one."""
    assets = [folder for folder in (deployment.folder / "cdk.out").glob("asset.*") if (folder / "functions").is_dir()]
    return min(assets, key=lambda folder: folder.stat().st_mtime)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what Lambda brings, and nothing else of this environment."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in IN_THE_RUNTIME:
        spec = find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, name
        origin = Path(spec.origin)
        target = origin.parent if origin.name == "__init__.py" else origin
        (folder / target.name).symlink_to(target)
    return folder


@pytest.fixture
def invoke(zip_folder: Path, runtime: Path, postgres_url: str) -> Callable[[str, Any], Any]:
    """Run a handler from the zip on an event."""

    def run(function: str, event: Any) -> Any:
        start = START.format(zip=str(zip_folder), runtime=str(runtime))
        with LambdaFunction(
            f"functions.{function}.handler.handler",
            folder=str(zip_folder),
            environment={"DUREX_APP": "shop:app", "DUREX_DATABASE_URL": postgres_url, "DUREX_QUEUE": "greet"},
            client=(sys.executable, "-I", "-S", "-B", "-c", start),
        ) as running:
            answer = running.invoke(event)
        assert not answer.is_error, answer.body
        return answer.body

    return run


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_every_handler_runs_from_the_zip(invoke, stage):
    posted = event("enqueue")
    posted["body"] = json.dumps({"name": "greet", "payload": "Ada"})
    found = event("get_command")

    assert invoke("migrate", event("migrate")) == {"applied": []}
    created = invoke("enqueue", posted)
    assert created["statusCode"] == 201
    assert invoke("worker", event("wake")) == {"batchItemFailures": []}
    assert invoke("tick", event("tick"))["due"] == {}
    assert invoke("tick", event("alarm"))["due"] == {}
    found["rawPath"] = found["requestContext"]["http"]["path"] = created["headers"]["Location"]
    assert json.loads(invoke("api", found)["body"])["result"] == "hello Ada from the first version"
    assert stage.count("finished_commands") == 1
    assert invoke("drain", event("ingest")) == {"batchItemFailures": []}
    assert stage.count("commands") == 1


def test_the_zip_holds_neither_what_lambda_has_nor_what_only_developers_need(zip_folder):
    names = {path.name for path in zip_folder.iterdir()}

    assert {"durex_core", "functions", "shop", "psycopg", "pydantic"} <= names
    assert not names & {"boto3", "botocore", "awslambdaric", "pytest", "aws_cdk", "bin", ".lock", "tests"}
    assert not list(zip_folder.rglob("__pycache__"))
