"""What all simulated services share: time, processes, the weather that their calls meet, and what is remembered."""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from durex_core.testing.cloud.errors import ConnectionLost, NoWaker
from durex_core.testing.cloud.faults import Call, Fate, Faults
from durex_core.testing.cloud.lives import Process
from durex_core.testing.cloud.processes import Code, Processes
from durex_core.testing.cloud.timeline import Timeline

T = TypeVar("T")

_REMEMBERED = 400


class World:
    """Time, the processes in it and their faults.

    Attributes:
        calls: how many calls to the outside were made.
        watch: called whenever something changed that a checker may want to look at; returns what is wrong, if anything.
    """

    def __init__(self, start: datetime, faults: Faults) -> None:
        """Begin at a moment, with a weather."""
        self.timeline = Timeline(start)
        self.processes = Processes(self.timeline)
        self.processes.on_end = self.changed
        self.faults = faults
        self.calls = 0
        self.watch: Callable[[], str | None] = lambda: None
        self._wrong: str | None = None
        self._trace: deque[tuple[float, str, str]] = deque(maxlen=_REMEMBERED)

    @property
    def now(self) -> datetime:
        """The true moment."""
        return self.timeline.now

    def local_now(self) -> datetime:
        """Return the moment that the clock of the running process shows."""
        here = self.processes.here
        return self.timeline.now + timedelta(seconds=here.skew) if here and here.skew else self.timeline.now

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.timeline.seconds

    def note(self, text: str) -> None:
        """Remember a step."""
        here = self.processes.here
        self._trace.append((self.timeline.seconds, here.name if here else "", text))

    @property
    def trace(self) -> str:
        """The last steps, a line each."""
        return "\n".join(f"{self._clock(seconds)}  {name:<18} {text}" for seconds, name, text in self._trace)

    def start(self, process: Process, code: Code) -> None:
        """Let a process begin."""
        self.processes.start(process, code)

    def call(self, name: str, effect: Callable[[], T]) -> T:
        """Let the running process call a service of AWS; its call may meet a fault.

        Raises:
            ConnectionLost: the call failed, with its effect or without.
        """
        process = self.processes.here
        if process is None:
            return effect()
        fate = self.meet(name)
        if fate is Fate.REFUSED:
            raise ConnectionLost(f"{name} was refused")
        answer = effect()
        process.life.owes_wakes &= process.is_attempt
        self.changed()
        if fate is Fate.UNANSWERED:
            raise ConnectionLost(f"the answer of {name} was lost")
        return answer

    def meet(self, name: str, *, kill_inside: bool = False) -> Fate:
        """Let the running process begin a call: it takes its time, and may end or stop here. Returns what it is to do.

        With `kill_inside` a kill is left to the caller, who is to let it come in the middle. One that is in a
        transaction is killed where others would be frozen: its database lets go of it.
        """
        process = self.processes.here
        assert process is not None
        if self._wrong is not None:
            self.processes.kill(process.life)  # the trace is to end here
        process.check()
        call = Call(self.calls, process.name, name)
        self.calls += 1
        fate = self.faults.fate_of(call)
        self._trace.append(
            (self.timeline.seconds, process.name, name if fate is Fate.PASSES else f"{name} {fate.value}")
        )
        self.processes.sleep(self.faults.latency)
        if fate is Fate.FROZEN and not process.is_in_transaction:
            self.processes.freeze(self.faults.thaw_after)
            return Fate.PASSES
        if fate is Fate.KILLED and kill_inside:
            return fate
        if fate in (Fate.KILLED, Fate.FROZEN):
            self.processes.kill(process.life)
        process.check()
        return fate

    def changed(self) -> None:
        """Something changed that a checker may want to look at."""
        if self._wrong is None:
            self._wrong = self.watch()

    def fail(self, wrong: str) -> None:
        """Something happened that must not; the simulation ends with it."""
        self._wrong = self._wrong or wrong

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, at most until a time of its line; say whether `until` came true before.

        Raises:
            NoWaker: the checker found something.
        """
        is_done = until or (lambda: False)
        self.processes.run(seconds, lambda: self._wrong is not None or is_done())
        if self._wrong is not None:
            raise NoWaker(self._wrong, self.trace)
        return is_done()

    def _clock(self, seconds: float) -> str:
        return f"{timedelta(seconds=round(seconds, 3))!s:<18}"
