"""What stands in for the machine's clock and randomness while a simulation runs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random
from types import ModuleType
from typing import Any

from durex_core import ids
from durex_core.aws import ingest as aws_ingest
from durex_core.aws import wake as aws_wake
from durex_core.execution import commits
from durex_core.operations import enqueue, ingest
from durex_core.serverless import patience, worker
from durex_core.testing.cloud.lives import Killed
from durex_core.testing.cloud.settling import SimulatedLedger
from durex_core.testing.cloud.sqs import SimulatedSqs
from durex_core.testing.cloud.world import World

# Where time is asked for by a name that the module imported.
_TIMED = (ids, commits, enqueue, ingest, patience)


class _Randomness:
    """Stands for `secrets`."""

    def __init__(self, seed: int) -> None:
        source = Random(seed)  # noqa: S311  ids that are the same in every run
        self.randbits, self.token_bytes = source.getrandbits, source.randbytes


class _Pauses:
    """Stands for `threading` where all that is done with it is to wait for an event that nobody sets."""

    def __init__(self, world: World) -> None:
        self._world = world

    def Event(self) -> "_Pauses":  # noqa: N802  the name that it stands for
        return self

    def wait(self, seconds: float) -> bool:
        self._world.processes.sleep(seconds)
        return False


class _Exits:
    """Stands for `os` and `logging` where an environment ends itself."""

    def __init__(self, world: World) -> None:
        self._world = world

    def shutdown(self) -> None:
        """Do nothing: others go on logging."""

    def _exit(self, _code: int) -> None:
        process = self._world.processes.here
        assert process is not None
        self._world.note("ends its environment")
        self._world.processes.kill(process.life)
        raise Killed


@contextmanager
def simulated(world: World, sqs: SimulatedSqs, seed: int) -> Iterator[None]:
    """Let ids be the same in every run, clocks show virtual time, and clients be the simulation's, during the block."""
    own: list[tuple[ModuleType, str, Any]] = [
        (ids, "secrets", _Randomness(seed)),
        (ids, "_rising", ids._Rising()),  # noqa: SLF001  a new process has made no ids yet
        (aws_ingest, "client", lambda _: sqs),
        (aws_wake, "client", lambda _: sqs),
        *([(patience, "threading", _Pauses(world))] if hasattr(patience, "threading") else []),
        (worker, "Ledger", partial(SimulatedLedger, world)),
        (worker, "os", _Exits(world)),
        (worker, "logging", _Exits(world)),
    ]
    clocks = {
        "utc_now": world.local_now,
        "unix_milliseconds": lambda: int(world.local_now().timestamp() * 1000),
        "monotonic_seconds": world.monotonic,
        "pause": world.processes.sleep,
    }
    times = [(module, name, clock) for module in _TIMED for name, clock in clocks.items() if hasattr(module, name)]
    with ExitStack() as exits:
        for module, name, value in own + times:
            exits.enter_context(_replaced(module, name, value))
        yield


@contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
