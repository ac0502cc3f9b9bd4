"""A side: a competitor as a script of its own, which does one thing in its own process and says what came of it.

It is started as `python -m bench.competitors.NAME VERB ORDER`, with the order as JSON, and prints one line of JSON. A
worker prints that it is ready, waits for a line, and then works until it is ended. Sides run in environments that know
nothing of durex, so that this module and those it imports need the standard library alone.
"""

import asyncio
import json
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ledger import Ledger

WARM = 50
"""How many commands are enqueued before the clock starts: connections open, and statements are prepared."""

_SHORTEST_REST_SECONDS = 0.01
_LONGEST_REST_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class Order:
    """What a side is to do: with which database, for how many commands, and in which process of how many."""

    url: str
    count: int = 0
    ledger: str = ""
    processes: int = 1
    place: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def open_ledger(self) -> Ledger:
        """Open the ledger of the run."""
        return Ledger(Path(self.ledger), self.count, self.processes, self.place)


def serve(**verbs: Callable[[Order], Any]) -> None:
    """Do what the command line says."""
    verb, document = sys.argv[1:]
    _say(verbs[verb](Order(**json.loads(document))))


def wait_for_go() -> None:
    """Say that all is imported, and wait for the word to begin."""
    _say("ready")
    sys.stdin.readline()


def one_by_one(enqueue: Callable[[int], object], count: int) -> float:
    """Enqueue commands one at a time; return the seconds that all but the first few took."""
    for number in range(WARM):
        enqueue(number)
    started_at = time.perf_counter()
    for number in range(WARM, WARM + count):
        enqueue(number)
    return time.perf_counter() - started_at


async def one_by_one_async(enqueue: Callable[[int], Awaitable[object]], count: int) -> float:
    """Do what `one_by_one` does, awaiting each."""
    for number in range(WARM):
        await enqueue(number)
    started_at = time.perf_counter()
    for number in range(WARM, WARM + count):
        await enqueue(number)
    return time.perf_counter() - started_at


def ping(enqueue: Callable[[int], object], order: Order) -> None:
    """Enqueue commands one at a time, each when the one before was picked up and the worker is idle again."""
    ledger = order.open_ledger()
    pause = threading.Event()
    for number in range(order.count):
        pause.wait(_rest())
        ledger.call(number)
        enqueue(number)
        ledger.wait_for(number)


async def ping_async(enqueue: Callable[[int], Awaitable[object]], order: Order) -> None:
    """Do what `ping` does, awaiting each."""
    ledger = order.open_ledger()
    for number in range(order.count):
        await asyncio.sleep(_rest())
        ledger.call(number)
        await enqueue(number)
        await asyncio.to_thread(ledger.wait_for, number)


def payload(number: int) -> dict[str, int]:
    """Return the payload of a command: all that its handler needs is its number."""
    return {"n": number}


def _rest() -> float:
    return random.uniform(_SHORTEST_REST_SECONDS, _LONGEST_REST_SECONDS)


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
