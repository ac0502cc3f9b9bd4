"""What keeps running attempts in touch with their commands: heartbeats, and the word of cancels in this process."""

import threading
from collections.abc import Sequence
from datetime import timedelta

from durex_core.execution.runner import Runner
from durex_core.execution.writer import Writer
from durex_core.model import Command
from durex_core.observer import Observer


class Cancels(Observer):
    """Tells attempts at once that their commands were cancelled in this process; others learn by their heartbeat."""

    def __init__(self, runner: Runner) -> None:
        """Look among the attempts of a runner."""
        self._runner = runner

    def cancelled(self, commands: Sequence[Command]) -> None:
        """Tell those that run."""
        ids = {command.id for command in commands}
        for running in self._runner.running:
            if running.command.id in ids:
                self._runner.abandon(running)


class Heart:
    """A thread that extends the leases of running attempts; an attempt whose lease is lost is told to stop."""

    def __init__(self, runner: Runner, writer: Writer, lease: timedelta) -> None:
        """Beat three times a lease."""
        self._runner = runner
        self._writer = writer
        self._every_seconds = lease.total_seconds() / 3
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="durex-heart", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop beating."""
        self._closing.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._closing.wait(self._every_seconds):
            # A lease that has only just begun lasts until well after the next beat.
            old = [running for running in self._runner.running if running.age_seconds > self._every_seconds / 2]
            beats = [(running, self._writer.extend(running.command)) for running in old]
            for running, held in beats:
                if held.exception() is None and not held.result().held:
                    self._runner.abandon(running)
