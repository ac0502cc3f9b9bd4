"""A simulated process: its name, where it runs, and the life that it shares with others."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


class Killed(BaseException):
    """Ends a process where it stands; no code under test may catch it."""


class Stopped(Exception):
    """Tells a process that sleeps that its time is over."""


@dataclass(eq=False, slots=True)
class Life:
    """What the processes of one invocation, or of one request, share: they are killed and frozen together.

    Attributes:
        deadline: when they are killed, if they have not ended by then.
        is_dead: whether they were killed: nothing that they do from then on has an effect.
        thaws_at: until when they are frozen.
        owes_wakes: whether they committed something and are yet to tell of it.
    """

    deadline: float | None = None
    is_dead: bool = False
    thaws_at: float = 0.0
    owes_wakes: bool = False


@dataclass(eq=False, slots=True)
class Process:
    """One run of some code, such as an invocation, a request or an attempt.

    Attributes:
        name: what the trace calls it.
        home: the machine or execution environment that it runs in.
        life: what it shares with others.
        skew: by how many seconds its clock is ahead.
        stops_at: when it is told to stop, if it sleeps then.
        is_in_transaction: whether it is inside of a transaction, where it cannot be frozen.
        is_attempt: whether it is an attempt, of which its invocation tells others.
        error: what its code raised.
    """

    name: str
    home: str
    life: Life = field(default_factory=Life)
    skew: float = 0.0
    stops_at: float | None = None
    is_in_transaction: bool = False
    is_attempt: bool = False
    error: Exception | None = None
    on_end: Callable[["Process"], None] | None = None
    turn: "threading.Lock | None" = field(default=None, repr=False)
    ticket: int = 0

    def check(self) -> None:
        """Raise if it was killed."""
        if self.life.is_dead:
            raise Killed
