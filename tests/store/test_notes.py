"""What a running attempt tells of itself: its progress, and what undoes its steps. Only the holder of the lease may."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from factories import LEASE, compensation, error_info
from hypothesis import HealthCheck, given, settings
from strategies import json_values
from virtual_store import VirtualStore

from durex_core.model import Extras, State
from durex_core.rules.outcomes import Cancelled, Expired, Failed, Outcome, Returned
from durex_core.store import commands

PROGRESS: dict[str, Any] = {
    "null": None,
    "false": False,
    "a float": 1.0,
    "nested": {"done": 3, "of": 2**80, "b": [None, {"größe": "你好"}]},
}


@pytest.mark.parametrize("progress", PROGRESS.values(), ids=PROGRESS)
def test_progress_is_stored_and_nothing_else(store: VirtualStore, progress: Any):
    attempt = store.start(payload={"a": 1})

    assert store.note(attempt, progress)

    assert store.get(attempt.id) == replace(attempt, progress=progress)
    assert type(store.get(attempt.id).progress) is type(progress)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(progress=json_values())
def test_any_plain_json_may_be_progress(store: VirtualStore, progress: Any):
    attempt = store.start()

    assert store.note(attempt, progress)

    assert store.get(attempt.id).progress == progress
    store.settle(attempt, Returned())


def test_compensations_are_stored_in_their_order_with_every_field(store: VirtualStore):
    attempt = store.start()
    kept = (
        compensation("b", payload={"größe": 1.0}, delay=timedelta(seconds=1.5), priority=-7, retries=3),
        compensation("a", backoff={"kind": "constant", "delay": 1.5}, timeout=timedelta(days=1), tags=("x", "y")),
        compensation("ä", extras=Extras(deadline=timedelta(hours=1), metadata={"a": [1]}), dead_letter=False),
    )

    assert store.note(attempt, None, *kept)

    assert store.get(attempt.id).compensations == kept


def test_a_later_note_replaces_the_earlier_one(store: VirtualStore):
    attempt = store.start()
    assert store.note(attempt, 0.5, compensation("a"))

    assert store.note(attempt, 0.7)

    assert (store.get(attempt.id).progress, store.get(attempt.id).compensations) == (0.7, ())


def test_notes_of_many_are_answered_each_for_itself(store: VirtualStore):
    held, finished = store.start(), store.start()
    store.settle(finished, Returned())

    noted = store.database.transact(
        lambda connection: commands.note(connection, [(held, 1, ()), (finished, 2, ())], now=store.now)
    )

    assert noted == {commands.fence(held)}
    assert (store.get(held.id).progress, store.get(finished.id).progress) == (1, None)


def test_a_note_is_taken_until_the_lease_is_over_and_not_then(store: VirtualStore):
    attempt = store.start()
    store.advance(LEASE - timedelta(microseconds=1))
    assert store.note(attempt, "in time")
    store.advance(timedelta(microseconds=1))
    before = store.rows()

    assert not store.note(attempt, "too late", compensation())

    assert store.rows() == before


def test_a_note_does_not_extend_a_lease(store: VirtualStore):
    attempt = store.start()
    store.advance(LEASE / 2)

    store.note(attempt, 0.5)

    assert store.get(attempt.id).lease_expires_at == attempt.lease_expires_at


def test_an_attempt_finds_what_the_earlier_one_noted(store: VirtualStore):
    attempt = store.start(retries=1)
    kept = compensation()
    store.note(attempt, {"done": 3}, kept)

    store.settle(attempt, Failed(error_info()))

    again = store.claim_one()
    assert (again.progress, again.compensations) == ({"done": 3}, (kept,))


@pytest.mark.parametrize(
    ("outcome", "is_undone"),
    [
        (Returned(), False),
        (Cancelled("not wanted"), False),
        (Failed(error_info(), retryable=False), True),
        (Expired(error_info()), True),
    ],
    ids=["completed", "cancelled", "failed", "expired"],
)
def test_a_finished_command_keeps_its_progress_and_only_a_failed_one_is_undone(
    store: VirtualStore, outcome: Outcome, is_undone: bool
):
    attempt = store.start()
    kept = compensation()
    store.note(attempt, {"done": 3}, kept)

    assert store.settle(store.get(attempt.id), outcome)

    assert store.get(attempt.id).progress == {"done": 3}
    assert (store.find(kept.command.id) is not None) is is_undone


def test_a_cancelled_command_keeps_its_progress(store: VirtualStore):
    attempt = store.start()
    store.note(attempt, {"done": 3})

    store.cancel(attempt.id)

    assert (store.get(attempt.id).progress, store.get(attempt.id).state) == ({"done": 3}, State.CANCELLED)
