"""The line: who is called next, and how many are called side by side."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from durex_core.clock import monotonic_seconds
from durex_core.rules.ahead import Tally
from durex_core.rules.outcomes import Outcome, Released

if TYPE_CHECKING:
    from durex_core.execution.turns import Turn


class Line:
    """Turns that stand in line until there is room for them among those that are called side by side.

    It has no lock of its own: `Turns` and the threads call it under theirs.
    """

    def __init__(self, size: int, go: "Callable[[Turn], None]") -> None:
        """Let at most `size` turns be called side by side; `go` begins those that are not for a thread."""
        self._size = size
        self._go = go
        self._turns: deque[Turn] = deque()
        self._side_by_side = 0
        self._ended = 0
        self._busy_seconds = 0.0
        self._busy_since_seconds = 0.0

    def tally(self, now_seconds: float) -> Tally:
        """Return how many ended so far, and how long there was somebody here."""
        busy_seconds = now_seconds - self._busy_since_seconds if self._turns or self._side_by_side else 0.0
        return Tally(self._ended, self._busy_seconds + busy_seconds)

    @property
    def ready(self) -> int:
        """How many may begin now, at most."""
        return min(len(self._turns), self._size - self._side_by_side)

    def first(self) -> "Turn | None":
        """Return who is next, if somebody is."""
        turns = self._turns
        while turns:
            turn = turns[0]
            if not turn.has_ended:
                return turn
            turns.popleft()
            self._note_rest()
        return None

    def join(self, turns: "Sequence[Turn]", now_seconds: float, *, is_urgent: bool) -> None:
        """Let turns stand in line, in this order, the urgent ones before all others."""
        if not (self._turns or self._side_by_side):
            self._busy_since_seconds = now_seconds
        for turn in turns:
            turn.waits_since_seconds = now_seconds
        self._turns.extendleft(turns) if is_urgent else self._turns.extend(turns)

    def leave(self, outcome: Outcome) -> None:
        """Make room for another one: somebody's call came to this."""
        self._side_by_side -= 1
        # What is given back says nothing of how quick handlers are.
        self._ended += not isinstance(outcome, Released)
        self._note_rest()

    def proceed(self) -> "Turn | None":
        """Begin what there is room for, until the next is one for a thread; return that one."""
        while self._side_by_side < self._size and (turn := self.first()) is not None:
            if not turn.is_async:
                return turn
            self._begin(turn)
            self._go(turn)
        return None

    def take(self) -> "Turn | None":
        """Hand out the next one that is for a thread, if there is room for it and those before it."""
        turn = self.proceed()
        if turn is not None:
            self._begin(turn)
        return turn

    def _begin(self, turn: "Turn") -> None:
        self._turns.popleft()
        turn.has_begun = True
        self._side_by_side += 1

    def _note_rest(self) -> None:
        """Add up the time in which somebody was here, if it is over."""
        if not (self._turns or self._side_by_side):
            self._busy_seconds += monotonic_seconds() - self._busy_since_seconds
