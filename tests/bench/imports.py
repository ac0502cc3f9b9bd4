"""How long imports take, each in a process of its own."""

import json
import statistics
import subprocess

from bench.catalogue import Competitor
from bench.environments import ROOT, environment, python_of
from bench.processes import SideFailed

_TIMED = "import time; began = time.perf_counter(); import {modules}; print(time.perf_counter() - began)"
_SECONDS = 120

# What a deployment tells a worker function.
_VARIABLES = {
    "DUREX_APP": "bench.commands:app",
    "DUREX_QUEUE": "noop",
    "DUREX_WAKE_URLS": json.dumps({"noop": "http://localhost/noop"}),
    "AWS_DEFAULT_REGION": "eu-central-1",
}


def import_seconds(competitor: Competitor, times: int) -> float:
    """Return the median of what an application of a competitor imports; its files are read once before."""
    _once(competitor)
    return statistics.median(_once(competitor) for _ in range(times))


def _once(competitor: Competitor) -> float:
    python = python_of(competitor.environment, competitor.oldest_python)
    done = subprocess.run(
        [str(python), "-c", _TIMED.format(modules=competitor.imports)],
        cwd=ROOT,
        env={**environment(), **_VARIABLES},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode:
        raise SideFailed(f"{competitor.name} import: {done.stderr[-1000:]}")
    return float(done.stdout.split()[-1])
