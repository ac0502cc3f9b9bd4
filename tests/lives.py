"""Lives of commands without a store: what the store would make of each claim and settlement, at ever later moments."""

from dataclasses import replace
from datetime import datetime, timedelta

from factories import START, claimed_command, error_info
from hypothesis import strategies as st

from durex_core.model import CRASHED, Command, Ending, ErrorInfo, PastAttempt, State
from durex_core.rules.endings import ending_of, hook_failed, recovered
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import (
    Cancelled,
    Expired,
    Failed,
    HandlerMissing,
    Outcome,
    Released,
    Repeated,
    Returned,
    Settlement,
)

KEPT = 50
STEP = timedelta(seconds=10)


class Life:
    """A command that is claimed, ends attempts, crashes and is revived; each takes ten seconds."""

    def __init__(self, *, retries: int = 0, dead_letter: bool = True, expires_after: timedelta | None = None) -> None:
        """Begin with a command that is ready."""
        self.now = START
        self.started: list[datetime] = []
        self.revived_at = START - STEP
        expires_at = START + expires_after if expires_after else None
        self.command: Command = claimed_command(
            state=State.PENDING,
            attempt=0,
            retries=retries,
            dead_letter=dead_letter,
            lease_number=0,
            lease_expires_at=None,
            started_at=None,
            worker=None,
            deadline_at=expires_at,
            expires_at=expires_at,
        )

    @property
    def first_kept(self) -> datetime:
        """The start of the earliest attempt that the row can tell of."""
        history = self.command.history
        return min((past.started_at for past in history if past.started_at), default=START)

    def claim(self) -> Command:
        """Claim it as the store does."""
        self.now += STEP
        before = self.command
        is_overdue = before.expires_at is not None and before.expires_at <= self.now
        is_ending = before.ending is not None or is_overdue
        expires_at = before.expires_at if is_overdue else before.deadline_at
        self.command = replace(
            before,
            state=State.STARTED,
            attempt=before.attempt if is_ending else min(before.attempt, before.retries) + 1,
            lease_number=before.lease_number + 1,
            started_at=self.now,
            worker="worker",
            expires_at=None if before.ending else expires_at,
        )
        if ending_of(self.command) is None:
            self.started.append(self.now)
        return self.command

    def attempt(self, outcome: Outcome, *, hook_error: ErrorInfo | None = None) -> Command:
        """Claim it, and let the attempt end; return the run that ended, or the command."""
        return self.end(self.claim(), outcome, hook_error=hook_error)

    def ending(self, ending: Ending | None = None, *, hook_error: ErrorInfo | None = None) -> Command:
        """Claim it for its ending, and let its hook succeed or fail."""
        if ending is not None:
            self.command = replace(self.command, ending=ending)
        command = self.claim()
        outcome = ending_of(command)
        assert outcome is not None
        return self.end(command, outcome, hook_error=hook_error)

    def crash(self) -> None:
        """Claim it unless it is running, and let its worker vanish."""
        command = self.claim() if self.command.state is not State.STARTED else self.command
        self.now += STEP
        self.command = self._put_back(command, self._line(command, CRASHED))

    def end(self, command: Command, outcome: Outcome, *, hook_error: ErrorInfo | None = None) -> Command:
        """Store what an outcome leads to."""
        self.now += STEP
        settlement = decide(command, outcome, 0.5)
        if settlement.hook is not None and hook_error is not None:
            settlement = hook_failed(settlement, hook_error, retryable=True)
        elif settlement.hook is not None and command.ending is not None:
            settlement = recovered(settlement, ())
        return self._store(settlement)

    def revive(self) -> None:
        """Give it a new life."""
        self.now += STEP
        self.revived_at = self.now
        ended = self.command
        line = PastAttempt(
            attempt=ended.attempt,
            lease_number=ended.lease_number,
            outcome=ended.state.value,
            started_at=ended.started_at,
            ended_at=ended.finished_at or self.now,
            worker=ended.worker,
            error=ended.error,
            revived_at=self.now,
        )
        self.command = replace(
            self._put_back(ended, line), attempt=0, finished_at=None, error=None, recovery=None, ending=None
        )
        self.command = replace(self.command, deadline_at=None, expires_at=None)

    def _store(self, settlement: Settlement) -> Command:
        command = settlement.command
        if settlement.state.is_terminal:
            self.command = replace(
                command,
                state=settlement.state,
                error=settlement.error,
                recovery=settlement.recovery,
                finished_at=self.now,
                ending=None,
            )
            return self.command
        line = self._line(command, settlement.outcome, settlement.error, settlement.hook_error)
        if settlement.opens_run:
            self.command = replace(self._put_back(command, line), run=command.run + 1, attempt=0, history=(line,))
            return replace(command, state=State.COMPLETED, finished_at=self.now)
        self.command = replace(
            self._put_back(command, line),
            attempt=command.attempt - settlement.gives_back,
            ending=settlement.ending,
            expires_at=None if settlement.ending else command.deadline_at,
        )
        return self.command

    def _put_back(self, command: Command, line: PastAttempt) -> Command:
        return replace(
            command, state=State.PENDING, started_at=None, worker=None, history=(*command.history, line)[-KEPT:]
        )

    def _line(
        self, command: Command, outcome: str, error: ErrorInfo | None = None, hook_error: ErrorInfo | None = None
    ) -> PastAttempt:
        return PastAttempt(
            attempt=command.attempt,
            lease_number=command.lease_number,
            outcome=outcome,
            started_at=command.started_at,
            ended_at=self.now,
            worker=command.worker,
            error=error,
            hook_error=hook_error,
        )


MOVES: st.SearchStrategy[Outcome | str] = st.one_of(
    st.just("crash"),
    st.just("claim"),
    st.just("revive"),
    st.just(Returned("done")),
    st.just(Repeated("so far")),
    st.builds(
        Failed,
        error=st.just(error_info()),
        retryable=st.booleans(),
        how=st.sampled_from(["failed", "timed_out", "retrying"]),
    ),
    st.just(Expired(error_info(type="DeadlinePassed"))),
    st.just(Cancelled("not wanted")),
    st.just(Released("stopping")),
    st.just(HandlerMissing()),
)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Return a command that went through anything, in any order."""
    life = Life(
        retries=draw(st.integers(0, 3)),
        dead_letter=draw(st.booleans()),
        expires_after=draw(st.none() | st.sampled_from([STEP / 2, 5 * STEP, 12 * STEP])),
    )
    if draw(st.booleans()):
        life.command = replace(life.command, ending=draw(st.sampled_from(Ending)))
    for move in draw(st.lists(MOVES, max_size=12)):
        go_through(life, move, draw(st.none() | st.just(error_info(type="HookError"))))
    return life


def go_through(life: Life, move: Outcome | str, hook_error: ErrorInfo | None) -> None:
    """Let something happen to a command, if it can."""
    if life.command.state.is_terminal:
        if move == "revive" and life.command.state is not State.COMPLETED:
            life.revive()
        return
    match move:
        case "crash":
            life.crash()
        case "claim":
            if life.command.state is not State.STARTED:
                life.claim()
        case "revive":
            pass
        case _:
            assert not isinstance(move, str)
            command = life.command if life.command.state is State.STARTED else life.claim()
            life.end(command, move, hook_error=hook_error)
