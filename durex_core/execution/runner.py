"""The runner: claimed commands side by side, each ending in exactly one settlement.

A command that ends other than well gets a second turn for the hook of its ending, if its handler has one; what the hook
asks for is stored with the end. A slot is free again when its settlement is durable.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

from durex_core.clock import monotonic_seconds
from durex_core.errors import DatabaseBusy, DatabaseUnavailable
from durex_core.execution import attempt
from durex_core.execution.attempts import HandlerTurn, HookTurn, Running, Setting
from durex_core.execution.commits import Written
from durex_core.execution.logs import log_end, log_loss
from durex_core.execution.surroundings import Surroundings
from durex_core.execution.turns import Turn, Turns
from durex_core.execution.writer import Ended, Writer
from durex_core.handlers.handler import Handler, Hook
from durex_core.model import Command, Ending, ErrorInfo, Recovery
from durex_core.registry import Registry
from durex_core.rules.ahead import Tally
from durex_core.rules.endings import ending_of, hook_failed, recovered
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Failed, HandlerMissing, Outcome, Released, Returned, Settlement

_log = logging.getLogger(__name__)

# The database said nothing against the outcome: it could not be reached, or others held it up for too long.
_ABSENT = (DatabaseUnavailable, DatabaseBusy)

# The handler's outcome, what its hook asked for, and what undoes its steps.
_MOST_REFUSALS = 3

_YOUNG_SECONDS = 0.005

_LOST = Written(held=False)

Settled = Callable[[Sequence[tuple[Settlement, Written]]], None]


class Runner:
    """Runs at most `concurrency` attempts at a time and settles them through the writer."""

    def __init__(
        self,
        registry: Registry,
        writer: Writer,
        *,
        concurrency: int,
        on_settled: Settled,
        random: Random,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Start the event loop; `on_settled` hears of settlements and what came of them."""
        self.concurrency = concurrency
        self._registry = registry
        self._writer = writer
        self._on_settled = on_settled
        self._random = random
        self._surroundings = surroundings or Surroundings()
        self._turns = Turns(concurrency)
        self._setting = Setting(self._turns, registry, writer, self._surroundings, self._conclude)
        self._running: set[Running] = set()
        self._started_at_seconds = 0.0
        self._changed = threading.Condition()
        writer.report_to(self)

    @property
    def running(self) -> list[Running]:
        """The attempts that have not been settled yet."""
        with self._changed:
            return list(self._running)

    @property
    def unsettled(self) -> int:
        """How many attempts have not been settled yet."""
        return len(self._running)

    @property
    def unopened(self) -> int:
        """How many of them have not taken their place among those that the limits allow."""
        return sum(running.began_at_seconds is None for running in self.running)

    @property
    def waiting_seconds(self) -> float | None:
        """For how long the first of those that have not begun has waited; None: all have begun."""
        since_seconds = self._turns.waits_since_seconds
        return None if since_seconds is None else monotonic_seconds() - since_seconds

    @property
    def tally(self) -> Tally:
        """How many handlers came to an end of their own, and how long there was one to be called."""
        return self._turns.tally

    @property
    def stuck(self) -> int:
        """How many handlers outlived their timeout and still run."""
        return self._turns.stuck

    def start(self, commands: Sequence[Command], *, within: timedelta | None = None) -> None:
        """Begin the attempts of claimed commands, or their endings, in this order.

        Beyond `concurrency` they stand in line. `within` bounds them further than their timeouts do.
        """
        now_seconds = monotonic_seconds()
        started = [Running(each, self._registry.get(each.name), within, now_seconds) for each in commands]
        with self._changed:
            self._running.update(started)
        self._started_at_seconds = now_seconds
        turns = [turn for running in started if (turn := self._turn(running)) is not None]
        self._turns.begin(turns)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait until every attempt is settled, or for the timeout; say whether all are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout_seconds)

    def release(self, reason: str, *, only_waiting: bool = False) -> None:
        """Give back what has not ended, or what has not even begun, without counting the attempts."""
        end = self._turns.withdraw if only_waiting else self._turns.stop
        for running in self.running:
            turn = running.turn
            if turn is not None:
                end(turn, Released(reason))

    def abandon(self, running: Running) -> None:
        """Tell an attempt that its lease is lost."""
        turn = running.turn
        if turn is not None:
            self._turns.abandon(turn)

    def close(self) -> None:
        """Stop the threads and the event loop, and the writer when it has written all; call it when idle."""
        self._writer.close()
        self._turns.close()

    def settled(self, ended: Sequence[Ended]) -> None:
        """Hear from the writer what came of settlements."""
        taken = [each for each in ended if isinstance(each[2], Written) or not self._is_refused(*each)]
        for running, settlement, written in taken:
            self._tell(running, settlement, written)
        with self._changed:
            self._running.difference_update(running for running, _, _ in taken)
            self._changed.notify_all()
        self._on_settled(
            [(settlement, written if isinstance(written, Written) else _LOST) for _, settlement, written in taken]
        )

    def soon(self, ended: int) -> float:
        """Tell the writer, which holds so many settlements, for how many seconds more of them may well come."""
        if len(self._running) <= ended:
            return 0.0
        return self._started_at_seconds + _YOUNG_SECONDS - monotonic_seconds()

    def _turn(self, running: Running) -> Turn | None:
        """Return the turn of a handler, unless the command comes to its end without one."""
        outcome = ending_of(running.command)
        if outcome is None and running.handler is not None:
            turn = running.turn = HandlerTurn(self._setting, running, running.handler)
            return turn
        self._conclude(running, outcome or HandlerMissing())
        return None

    def _conclude(self, running: Running, outcome: Outcome) -> None:
        """Settle a command, after its hook if its ending has one."""
        running.turn = None
        settlement = decide(running.command, outcome, self._random.random())
        if settlement.hook is None or running.has_lost_lease:
            self._writer.settle(settlement, running)
        elif running.handler is None and ending_of(running.command) is not None:
            # Another worker may know the hook: only one that knows the handler can tell that it has none.
            self._writer.settle(hook_failed(settlement, _unknown(running.command), retryable=True), running)
        elif hook := _hook(running.handler, settlement.hook):
            self._recover(running, settlement, hook)
        else:
            self._writer.settle(settlement, running)

    def _recover(self, running: Running, settlement: Settlement, hook: Hook) -> None:
        """Begin the turn of a hook."""
        running.before_hook = settlement
        running.turn = HookTurn(self._setting, running, hook, settlement, self._recovered)
        self._turns.begin([running.turn], is_urgent=True)

    def _recovered(self, running: Running, settlement: Settlement, outcome: Outcome) -> None:
        """Take the outcome of a hook's turn."""
        running.turn = None
        match outcome:
            case Returned(children=children):
                self._writer.settle(recovered(settlement, children), running)
            case Failed(error=error, retryable=retryable):
                self._writer.settle(hook_failed(settlement, error, retryable=retryable), running)
            case _:
                error = ErrorInfo(type(outcome).__name__, getattr(outcome, "reason", "its hook did not return"))
                self._writer.settle(hook_failed(settlement, error, retryable=True), running)

    def _is_refused(self, running: Running, settlement: Settlement, written: Written | BaseException) -> bool:
        """Whether the database refused the outcome itself; then another one is on its way."""
        if isinstance(written, (Written, *_ABSENT)) or running.refusals >= _MOST_REFUSALS:
            return False
        self._settle_refused(running, settlement, written)
        return True

    def _tell(self, running: Running, settlement: Settlement, written: Written | BaseException) -> None:
        """Tell the log and the observers what came of a settlement."""
        try:
            if isinstance(written, Written) and written.held:
                log_end(settlement)
                self._surroundings.observers.settled(settlement, running.seconds)
                return
            error = written if isinstance(written, BaseException) else None
            log_loss(settlement, error)
            if error is not None:
                self._surroundings.observers.store_failed("settle", error)
        except Exception:  # noqa: BLE001, S110  where a log goes is the user's affair: the slot is free all the same
            pass

    def _settle_refused(self, running: Running, settlement: Settlement, error: BaseException) -> None:
        """The database refused the outcome itself: the attempt failed, or its hook did, and that much can be stored."""
        self._surroundings.observers.store_failed("settle", error)
        _log.error("the settlement of command %s was refused: %s", settlement.command.id, error)
        running.refusals += 1
        refused = attempt.describe(error)
        before_hook = running.before_hook
        if before_hook is not None and settlement.recovery is not None and settlement.recovery.error is None:
            self._writer.settle(hook_failed(before_hook, refused, retryable=True), running)
        elif running.refusals == 1 and before_hook is None:
            self._conclude(running, Failed(refused, how="refused"))
        else:
            # It is what was to follow the failure that is refused: better an end without it than none.
            self._writer.settle(replace(settlement, children=(), recovery=Recovery(error=refused)), running)


def _hook(handler: Handler | None, ending: Ending) -> Hook | None:
    if handler is None:
        return None
    return handler.on_recover if ending is Ending.FAILED else handler.on_expired


def _unknown(command: Command) -> ErrorInfo:
    return ErrorInfo(
        "HandlerMissing", f"no handler named {command.name!r} is registered in the worker of queue {command.queue!r}"
    )
