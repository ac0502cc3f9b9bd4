"""What a worker function imports is what its cold start costs: nothing that it never uses is among it.

How long it takes is measured by `make bench`; here it is only looked at what is imported.
"""

import json
import subprocess
import sys

import pytest

IMPORTED = """
import json, sys
import functions.worker.handler
print(json.dumps(sorted(sys.modules)))
"""

# By their beginnings: what only other functions, or processes that stay up, have use for.
NEVER = (
    "boto3",
    "botocore",
    "aws_lambda_powertools",
    "sqlite3",
    "durex_core.api",
    "durex_core.aws.ingest",
    "durex_core.cli",
    "durex_core.local.server",
    "durex_core.local.service",
    "durex_core.local.worker",
    "durex_core.operations.cancel",
    "durex_core.operations.find",
    "durex_core.operations.ingest",
    "durex_core.operations.revive",
    "durex_core.operations.schema",
    "durex_core.queries",
    "durex_core.serverless.drain",
    "durex_core.serverless.migrate",
    "durex_core.serverless.tick",
    "durex_core.store.finding",
    "durex_core.store.partitions",
    "durex_core.telemetry.prometheus",
    "durex_core.testing",
    "prometheus_client",
    "pydantic.json_schema",
    "pydantic.main",
    "pydantic.type_adapter",
)


@pytest.fixture(scope="module")
def imported():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        env={
            "PYTHONPATH": ":".join(path for path in sys.path if path),
            "DUREX_APP": "bench.commands:app",
            "DUREX_QUEUE": "noop",
            "DUREX_WAKE_URLS": json.dumps({"noop": "http://localhost/noop"}),
            "DUREX_DATABASE_URL": "postgresql://nowhere/none",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_a_worker_function_imports_what_it_runs_commands_with(imported):
    assert {"psycopg", "durex_core.serverless.worker", "durex_core.execution.runner"} <= set(imported)


@pytest.mark.parametrize("beginning", NEVER)
def test_a_worker_function_does_not_import_what_it_never_uses(imported, beginning):
    assert [name for name in imported if name == beginning or name.startswith(f"{beginning}.")] == []
