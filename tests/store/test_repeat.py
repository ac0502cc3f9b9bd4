"""A command that repeats: the run that ended is filed whole, and the next one opens under the same id."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from factories import LEASE, START, compensation, error_info
from reports import REPORTS
from virtual_store import VirtualStore

from durex_core.model import DEFAULT_PERIOD, Extras, PastAttempt, State
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Expired, Failed, Outcome, Repeated, Returned
from durex_core.store import commands

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def test_the_run_that_ended_is_filed_whole(store: VirtualStore):
    attempt = store.start(
        queue="poll",
        payload={"page": 1},
        priority=7,
        retries=3,
        backoff={"kind": "constant", "delay": 1.5},
        timeout=timedelta(seconds=10),
        dead_letter=False,
        tags=("a", "b"),
        correlation_id="order:42",
        unique_key="poller",
        idempotency_key="request:1",
        extras=Extras(period=HOUR, metadata={"a": 1}, sequence=("b",)),
        compensations=(compensation(),),
    )
    store.advance(SECOND)
    assert store.settle(attempt, Failed(error_info()))
    store.advance(2 * SECOND)
    attempt = store.claim_one("poll")
    assert store.note(attempt, {"done": 0.5}, compensation())
    attempt = store.get(attempt.id)
    store.advance(SECOND)

    assert store.settle(attempt, Repeated("so far"))

    filed, _ = store.runs(attempt.id)
    assert filed == replace(
        attempt,
        state=State.COMPLETED,
        lease_expires_at=None,
        finished_at=store.now,
        result="so far",
        compensations=(),
    )


def test_the_next_run_begins_anew_under_the_same_id(store: VirtualStore):
    attempt = store.start(
        retries=3, extras=Extras(period=HOUR), unique_key="poller", priority=7, payload={"page": 1}, tags=("a",)
    )
    assert store.note(attempt, {"done": 0.5}, compensation())
    store.advance(SECOND)

    assert store.settle(attempt, Repeated("so far"))

    assert store.get(attempt.id) == replace(
        attempt,
        state=State.REPEATING,
        run=2,
        attempt=0,
        ready_at=store.now + HOUR,
        lease_expires_at=None,
        started_at=None,
        worker=None,
        history=(
            PastAttempt(
                attempt=1,
                lease_number=1,
                outcome="repeating",
                started_at=START,
                ended_at=START + SECOND,
                worker="worker",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("options", "outcome", "delay"),
    [
        ({}, Repeated(), DEFAULT_PERIOD),
        ({"extras": Extras(period=HOUR)}, Repeated(), HOUR),
        ({"extras": Extras(period=HOUR)}, Repeated(delay=SECOND), SECOND),
        ({}, Repeated(delay=timedelta(microseconds=249)), timedelta(microseconds=249)),
    ],
    ids=["default", "period", "its own delay", "a short delay"],
)
def test_the_next_run_waits_for_its_delay(
    store: VirtualStore, options: dict[str, Any], outcome: Repeated, delay: timedelta
):
    attempt = store.start(**options)

    assert store.settle(attempt, outcome)

    assert store.get(attempt.id).state is State.REPEATING
    assert store.next_due() == delay
    assert store.due() == {attempt.queue: delay}
    store.advance(delay - timedelta(microseconds=1))
    assert store.claim() == []
    store.advance(timedelta(microseconds=1))
    assert (store.claim_one().run, store.get(attempt.id).attempt) == (2, 1)


def test_a_run_without_a_delay_is_ready_at_once(store: VirtualStore):
    attempt = store.start()

    assert store.settle(attempt, Repeated(delay=timedelta(0)))

    assert store.get(attempt.id).state is State.PENDING
    assert store.claim_one().run == 2


def test_dispatch_promotes_a_run_that_is_due(store: VirtualStore):
    attempt = store.start()
    store.settle(attempt, Repeated(delay=SECOND))
    assert store.dispatch() == []

    store.advance(SECOND)

    assert store.dispatch() == [attempt.queue]
    assert store.get(attempt.id).state is State.PENDING


def test_a_budget_that_a_crash_has_spent_is_not_renewed_by_asking_for_another_run(store: VirtualStore):
    attempt = store.start(retries=0)
    store.advance(LEASE)
    ending = store.claim_one()
    assert ending.is_overdrawn

    assert store.settle(ending, Repeated())

    assert store.get(attempt.id).state is State.DEAD_LETTER


def test_each_run_has_a_fresh_budget_of_attempts(store: VirtualStore):
    command_id = store.add(retries=2)

    for run in (1, 2, 3):
        for attempt in (1, 2):
            claimed = store.claim_one()
            assert (claimed.run, claimed.attempt) == (run, attempt)
            assert store.settle(claimed, Failed(error_info()))
        assert store.settle(store.claim_one(), Repeated(run, delay=timedelta(0)))

    assert [(run.run, run.attempt, run.result, len(run.history)) for run in store.runs(command_id)] == [
        (1, 3, 1, 2),
        (2, 3, 2, 3),
        (3, 3, 3, 3),
        (4, 0, None, 1),
    ]


def test_the_lease_number_rises_on_from_run_to_run(store: VirtualStore):
    attempt = store.start(retries=1)
    store.settle(attempt, Failed(error_info()))

    for lease_number in range(2, 7):
        claimed = store.claim_one()
        assert (claimed.lease_number, claimed.run) == (lease_number, lease_number - 1)
        assert store.settle(claimed, Repeated(delay=timedelta(0)))
        assert store.get(claimed.id).lease_number == lease_number


def test_get_returns_the_newest_run(store: VirtualStore):
    attempt = store.start(payload="first")

    for run in (2, 3):
        assert store.settle(attempt, Repeated(run, delay=timedelta(0)))
        assert (store.get(attempt.id).run, store.get(attempt.id).state) == (run, State.PENDING)
        attempt = store.claim_one()
    assert store.settle(attempt, Returned("done"))

    assert (store.get(attempt.id).run, store.get(attempt.id).result) == (3, "done")
    assert [run.result for run in store.runs(attempt.id)] == [2, 3, "done"]


@pytest.mark.parametrize("payload", [None, False, 0, "", {}, {"page": 2}], ids=repr)
def test_a_run_may_be_given_another_payload(store: VirtualStore, payload: Any):
    attempt = store.start(payload={"page": 1})

    assert store.settle(attempt, Repeated(payload=payload))

    assert [run.payload for run in store.runs(attempt.id)] == [{"page": 1}, payload]


@pytest.mark.parametrize("payload", [None, {"page": 1}], ids=repr)
def test_a_run_that_is_given_none_keeps_its_payload(store: VirtualStore, payload: Any):
    attempt = store.start(payload=payload)

    assert store.settle(attempt, Repeated())

    assert [run.payload for run in store.runs(attempt.id)] == [payload, payload]


def test_each_run_has_its_deadline_from_the_moment_when_it_is_due(store: VirtualStore):
    attempt = store.start(extras=Extras(deadline=HOUR, start_within=MINUTE))
    assert attempt.deadline_at == START + HOUR
    store.advance(SECOND)

    assert store.settle(attempt, Repeated(delay=10 * HOUR))

    filed, following = store.runs(attempt.id)
    assert filed.deadline_at == START + HOUR
    assert following.deadline_at == START + SECOND + 11 * HOUR
    assert following.expires_at == START + SECOND + 10 * HOUR + MINUTE
    store.now = following.expires_at
    assert store.claim_one().is_overdue


def test_a_deadline_that_is_a_moment_binds_all_runs(store: VirtualStore):
    attempt = store.start(deadline_at=START + HOUR)

    assert store.settle(attempt, Repeated(delay=MINUTE))

    following = store.get(attempt.id)
    assert following.deadline_at == following.expires_at == START + HOUR


def test_a_run_may_expire_before_it_starts_and_ends_the_command(store: VirtualStore):
    attempt = store.start(deadline_at=START + HOUR)
    store.settle(attempt, Repeated("so far", delay=2 * HOUR))
    store.advance(HOUR)

    assert store.settle(store.claim_one(), Expired())

    assert [(run.run, run.state) for run in store.runs(attempt.id)] == [(1, State.COMPLETED), (2, State.EXPIRED)]


def test_the_compensations_of_a_run_that_ended_well_are_no_longer_needed(store: VirtualStore):
    attempt = store.start()
    store.note(attempt, None, compensation())
    store.settle(store.get(attempt.id), Repeated(delay=timedelta(0)))

    assert store.settle(store.claim_one(), Failed(error_info()))

    assert store.get(attempt.id).state is State.DEAD_LETTER
    assert store.claim("undo") == []


def test_a_command_that_repeats_holds_its_unique_key(store: VirtualStore):
    attempt = store.start(unique_key="poller")

    store.settle(attempt, Repeated())

    assert store.add(unique_key="poller") == attempt.id


def test_several_repeat_in_one_batch_each_in_its_own_way(store: VirtualStore):
    attempts = [store.start(payload=number, extras=Extras(deadline=HOUR)) for number in range(4)]
    outcomes: list[Outcome] = [Repeated(delay=SECOND), Repeated("b", payload="new"), Repeated(), Returned("done")]

    assert store.write(*(decide(attempt, outcome, 0.5) for attempt, outcome in zip(attempts, outcomes, strict=True)))

    newest = [store.get(attempt.id) for attempt in attempts]
    assert [(command.run, command.payload) for command in newest] == [(2, 0), (2, "new"), (2, 2), (1, 3)]
    assert [command.ready_at - store.now for command in newest[:3]] == [SECOND, MINUTE, MINUTE]
    assert [command.deadline_at for command in newest[:3]] == [command.ready_at + HOUR for command in newest[:3]]


def test_a_repeat_needs_one_statement(store: VirtualStore):
    attempt = store.start()

    assert commands.is_one_statement([decide(attempt, Repeated(), 0.5)] * 2)
    assert not commands.is_one_statement([decide(attempt, Repeated(), 0.5), decide(attempt, Returned(), 0.5)])


@pytest.mark.parametrize("later", ["repeating", "pending", "started", "finished", "third run"])
def test_a_zombie_of_an_earlier_run_changes_no_column_of_any_row(store: VirtualStore, later: str):
    zombie = store.start(retries=3)
    assert store.settle(zombie, Repeated(delay=SECOND))
    if later != "repeating":
        store.advance(SECOND)
        store.dispatch()
    if later in {"started", "finished", "third run"}:
        store.claim_one()
    if later in {"finished", "third run"}:
        store.settle(store.get(zombie.id), Returned("done") if later == "finished" else Repeated())
    before = store.rows()

    for report in REPORTS:
        assert not report(store, zombie), report

        assert store.rows() == before, report


def test_a_zombie_and_the_run_that_followed_may_report_in_one_batch(store: VirtualStore):
    zombie = store.start()
    store.settle(zombie, Repeated(delay=timedelta(0)))
    current = store.claim_one()

    settled = store.end(decide(zombie, Repeated("too late"), 0.5), decide(current, Repeated("in time"), 0.5))

    assert settled.lost == {commands.fence(zombie)}
    assert [run.result for run in store.runs(zombie.id)] == [None, "in time", None]


def test_a_repeat_is_taken_until_the_lease_is_over_and_not_then(store: VirtualStore):
    in_time, too_late = store.start(), store.start()
    store.advance(LEASE - timedelta(microseconds=1))
    assert store.settle(in_time, Repeated())
    store.advance(timedelta(microseconds=1))
    before = store.rows()

    assert not store.settle(too_late, Repeated())

    assert store.rows() == before
