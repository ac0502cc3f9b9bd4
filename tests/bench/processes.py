"""The processes of a run: sides that answer, and workers that work until they are ended."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from bench.catalogue import Competitor
from bench.environments import ROOT, environment, folder, python_of, script_of
from bench.side import Order

_ANSWER_SECONDS = 600
_GRACE_SECONDS = 10


class SideFailed(Exception):
    """A competitor's process did not do what it was told; the message ends with what it wrote last."""


def installed(competitor: Competitor) -> None:
    """Make sure that all is there that its processes need.

    Raises:
        Missing: it cannot be had here.
    """
    _command(competitor, "", Order(""))


def ask(competitor: Competitor, verb: str, order: Order) -> Any:
    """Let a side do something, and return its answer."""
    with _log(competitor).open("wb") as log:
        done = subprocess.run(
            _command(competitor, verb, order),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            check=False,
            timeout=_ANSWER_SECONDS,
        )
    if done.returncode:
        raise SideFailed(f"{competitor.name} {verb}: {_last_words(competitor)}")
    return json.loads(done.stdout.splitlines()[-1])


class Worker:
    """A worker process of a side, which waits for the word to begin."""

    def __init__(self, competitor: Competitor, order: Order, log: Any) -> None:
        """Start it, and wait until it is ready."""
        self._competitor = competitor
        command = _command(competitor, "work", order)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe, stderr=log)
        self._seen = psutil.Process(self._process.pid)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self._process.wait()
            raise SideFailed(f"{competitor.name} did not start: {_last_words(competitor)}")

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()

    @property
    def resident_bytes(self) -> int:
        """How much memory it holds; 0 if it has ended."""
        try:
            return int(self._seen.memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    def check(self) -> None:
        """Make sure that it did not fail.

        Raises:
            SideFailed: it did.
        """
        if self._process.poll():
            raise SideFailed(f"{self._competitor.name} failed: {_last_words(self._competitor)}")

    def end(self) -> None:
        """End it: all that it did is durable, and its database is about to go."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


@contextmanager
def workers(competitor: Competitor, orders: list[Order]) -> Iterator[list[Worker]]:
    """Yield workers that are ready, and end them."""
    with ExitStack() as stack:
        log = stack.enter_context(_log(competitor).open("wb"))
        started = []
        for order in orders:
            worker = Worker(competitor, order, log)
            stack.callback(worker.end)
            started.append(worker)
        yield started


def _command(competitor: Competitor, verb: str, order: Order) -> list[str]:
    arguments = [verb, json.dumps(asdict(order))]
    if competitor.is_node:
        return ["node", str(script_of(competitor.side)), *arguments]
    python = python_of(competitor.environment, competitor.oldest_python)
    return [str(python), "-m", f"bench.competitors.{competitor.side}", *arguments]


def _log(competitor: Competitor) -> Path:
    return folder() / f"{competitor.side}.log"


def _last_words(competitor: Competitor) -> str:
    return _log(competitor).read_text(errors="replace").strip()[-1000:]
