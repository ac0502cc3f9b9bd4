"""Each guard is proved by its removal: without it, a checker reports a stranded command or a change made by a zombie.

With all guards in place the same faults are borne: that is what the other tests of this folder show.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from wakes import stories
from wakes.stories import HOURS, STORIES, Story, enqueue, told, work
from wakes.verdicts import Wrong

from durex_core.aws.promises import Promises
from durex_core.aws.wake import SqsWake
from durex_core.rules.wakes import Due
from durex_core.serverless.ledger import Ledger
from durex_core.serverless.worker import WorkerFunction
from durex_core.store import statements
from durex_core.store.statements import Dialect, Statement
from durex_core.testing.cloud import Fate, NoWaker, OneFault, Way

STRANDED = "nobody will come for it"
LATER = Story(lambda cloud: enqueue(cloud, work.spec({}), work.spec({}, delay=timedelta(minutes=5))))
LONG = Story(lambda cloud: enqueue(cloud, work.spec({"takes": 20.0, "fails": 1})))
Fault = Fate | Way


class Zombies(OneFault):
    """A frozen invocation thaws while the one that took over its command is at work on it."""

    thaw_after = 230.0


def reports(story: Story, faults: Sequence[Fault] = (), kind: type[OneFault] = OneFault) -> str:
    """Tell a story, and again with each of these faults at each call or message; return the first complaint."""
    try:
        fair = told(story)
        for fault in faults:
            for number in range(fair.sqs.sent if isinstance(fault, Way) else fair.world.calls):
                told(story, kind(number, fault))
    except (NoWaker, Wrong) as wrong:
        return str(wrong).partition("\n")[0]
    return "nothing"


def test_a_claim_that_does_not_see_to_what_it_left_for_later_is_reported(monkeypatch: pytest.MonkeyPatch):
    assert reports(LATER) == "nothing"

    monkeypatch.setattr(WorkerFunction, "_see_to", lambda *_: True)

    assert STRANDED in reports(LATER)


def test_an_invocation_that_does_not_pass_on_what_it_left_ready_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(WorkerFunction, "_pass_on", lambda *_: True)

    assert STRANDED in reports(STORIES["more than an invocation"])


@pytest.mark.parametrize("name", ["one", "in 30 s", "in 20 min", "in 24 h", "joined", "retried", "hastened"])
def test_wakes_and_alarms_after_the_commit_that_needs_them_are_reported(monkeypatch: pytest.MonkeyPatch, name: str):
    tell_ahead, tell_ready = SqsWake.ahead, SqsWake.ready
    kept: dict[SqsWake, dict[str, Due]] = {}

    def ahead(wake: SqsWake, due: Mapping[str, Due]) -> bool:
        kept.setdefault(wake, {}).update(due)
        return True

    def ready(wake: SqsWake, due: Mapping[str, Due]) -> bool:
        return tell_ahead(wake, kept.pop(wake, {})) & tell_ready(wake, due)

    monkeypatch.setattr(SqsWake, "ahead", ahead)
    monkeypatch.setattr(SqsWake, "ready", ready)

    assert STRANDED in reports(STORIES[name], [Fate.KILLED])


def test_a_wake_without_an_echo_is_reported(monkeypatch: pytest.MonkeyPatch):
    assert reports(STORIES["one"], [Way.LOST]) == "nothing"

    monkeypatch.setattr(SqsWake, "ahead", lambda *_: True)

    assert STRANDED in reports(STORIES["one"], [Way.LOST])


def test_a_promise_that_was_never_kept_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Promises, "holds", lambda *_: True)

    assert STRANDED in reports(STORIES["one"], [Fate.REFUSED])


def test_one_service_that_does_not_stand_in_for_the_other_is_reported(monkeypatch: pytest.MonkeyPatch):
    assert reports(STORIES["in 30 s"], [Fate.REFUSED]) == "nothing"

    monkeypatch.setattr(SqsWake, "_by_next_alarm", lambda *_: True)

    assert STRANDED in reports(STORIES["in 30 s"], [Fate.REFUSED])


def test_a_wake_that_is_used_up_by_an_invocation_which_settled_nothing_is_reported(monkeypatch: pytest.MonkeyPatch):
    frozen = [Fate.FROZEN]
    assert reports(STORIES["one"], frozen, Away) == "nothing"

    monkeypatch.setattr(Ledger, "lost", property(lambda _: 0))

    assert STRANDED in reports(STORIES["one"], frozen, Away)


class Away(OneFault):
    """The database refuses every settlement from some call on, for some minutes."""

    def fate_of(self, call: Any) -> Fate:
        is_later = call.number >= self._number and call.name in (
            "database:commands/finish",
            "database:commands/put_back",
        )
        return Fate.REFUSED if is_later and call.process.startswith("work#1.") else Fate.PASSES


@pytest.mark.parametrize(
    "guard",
    [
        "commands.lease_number = ended.value ->> 'lease_number'",
        "commands.lease_expires_at > :now",
    ],
)
def test_a_settlement_without_its_fence_is_reported(monkeypatch: pytest.MonkeyPatch, guard: str):
    assert reports(LONG, [Fate.FROZEN], Zombies) == "nothing"
    load = statements.load

    def load_unfenced(dialect: Dialect, name: str) -> Statement:
        statement = load(dialect, name)
        text = guard.replace(":now", statements._NOW["sqlite"])
        parts = tuple(part.replace(text, "true") for part in statement.parts)
        return Statement(statement.name, parts, statement.parameters)

    monkeypatch.setattr(statements, "load", load_unfenced)

    assert "lease" in reports(LONG, [Fate.FROZEN], Zombies)


def test_a_tick_that_does_not_look_beyond_what_is_ready_is_reported(monkeypatch: pytest.MonkeyPatch):
    """A command is due in a day; the alarm of another one that is due before brings a tick, which sees to both."""
    story = Story(
        lambda cloud: enqueue(cloud, *(work.spec({}, delay=delay * HOURS) for delay in (3, 24))), within=25 * HOURS
    )
    assert reports(story) == "nothing"
    tell_ahead = SqsWake.ahead

    def ahead(wake: SqsWake, due: Mapping[str, Due]) -> bool:
        process = stories.Theatre.cloud.world.processes.here if stories.Theatre.cloud else None
        return (process is not None and process.home.startswith("tick")) or tell_ahead(wake, due)

    monkeypatch.setattr(SqsWake, "ahead", ahead)

    assert STRANDED in reports(story)
