"""Two keys make two requests one command: `unique_key` while a command lives, `idempotency_key` for fifteen days."""

from datetime import timedelta

import pytest
from factories import LEASE, error_info, new_command
from virtual_store import VirtualStore

from durex_core.model import State
from durex_core.rules.outcomes import Failed, Released, Returned
from durex_core.store import keys

MICROSECOND = timedelta(microseconds=1)


def test_a_unique_key_yields_the_live_command_that_holds_it(store: VirtualStore):
    (first,) = store.enqueue(new_command(unique_key="parcel:1", payload="first"))
    (second,) = store.enqueue(new_command(unique_key="parcel:1", payload="second"))

    assert (first.created, second.created) == (True, False)
    assert second.id == first.id
    assert store.get(first.id).payload == "first"
    assert store.count("commands") == 1


def test_a_unique_key_belongs_to_no_command_name(store: VirtualStore):
    holder = store.add(name="pack", unique_key="parcel:1")

    assert store.add(name="ship", unique_key="parcel:1") == holder


def test_different_unique_keys_do_not_meet(store: VirtualStore):
    answers = store.enqueue(*(new_command(unique_key=key) for key in ("a", "A", "a ", "ä", "a\u0308")))

    assert all(answer.created for answer in answers)


@pytest.mark.parametrize(
    "outcome", [Returned(), Failed(error_info(), retryable=False)], ids=["completed", "dead_letter"]
)
def test_a_unique_key_is_free_once_its_command_is_finished(store: VirtualStore, outcome: Returned | Failed):
    first = store.start(unique_key="parcel:1")
    assert store.settle(first, outcome)

    (second,) = store.enqueue(new_command(unique_key="parcel:1"))

    assert second.created
    assert store.get(first.id).unique_key == "parcel:1"
    assert store.get(second.id).state is State.PENDING


def test_a_unique_key_is_held_in_every_live_state(store: VirtualStore):
    holder = store.add(unique_key="parcel:1", delay=timedelta(minutes=1), retries=3)

    def is_held() -> bool:
        return store.enqueue(new_command(unique_key="parcel:1"))[0].id == holder

    assert is_held()  # scheduled
    store.advance(timedelta(minutes=1))
    store.dispatch()
    assert is_held()  # pending
    attempt = store.claim_one()
    assert is_held()  # started
    store.advance(LEASE)
    assert is_held()  # started, its lease expired
    store.rescue()
    assert is_held()  # pending again
    attempt = store.claim_one()
    store.settle(attempt, Failed(error_info()))
    assert is_held()  # waiting for its next attempt
    store.settle(store.claim_one(), Released("stopping"))
    assert is_held()
    store.settle(store.claim_one(), Returned())
    assert not is_held()


def test_twice_in_one_batch_a_unique_key_yields_the_first(store: VirtualStore):
    new = [new_command(unique_key=key) for key in ("b", "a", "b", "a", "b")]

    answers = store.enqueue(*new)

    assert [answer.id for answer in answers] == [new[0].id, new[1].id, new[0].id, new[1].id, new[0].id]
    assert [answer.created for answer in answers] == [True, True, False, False, False]


def test_an_idempotency_key_yields_the_first_command(store: VirtualStore):
    (first,) = store.enqueue(new_command(idempotency_key="request:1"))
    (second,) = store.enqueue(new_command(idempotency_key="request:1"))

    assert (first.created, second.created) == (True, False)
    assert second.id == first.id
    assert store.count("commands") == 1


def test_an_idempotency_key_belongs_to_a_command_name(store: VirtualStore):
    assert store.add(name="pack", idempotency_key="1") != store.add(name="ship", idempotency_key="1")
    # Nor can a name that ends like a key be taken for another name.
    assert store.add(name="a", idempotency_key="b:c") != store.add(name="a:b", idempotency_key="c")


def test_an_idempotency_key_outlives_its_command(store: VirtualStore):
    first = store.start(idempotency_key="request:1")
    store.settle(first, Returned("done"))

    (again,) = store.enqueue(new_command(idempotency_key="request:1"))

    assert (again.id, again.created) == (first.id, False)
    assert store.get(again.id).result == "done"


def test_an_idempotency_key_is_held_for_fifteen_days(store: VirtualStore):
    first = store.add(idempotency_key="request:1")

    store.advance(timedelta(days=15) - MICROSECOND)
    assert store.add(idempotency_key="request:1") == first

    store.advance(MICROSECOND)
    second = store.add(idempotency_key="request:1")
    assert second != first

    # Asking again did not prolong the first hold, and the second one lasts as long as the first did.
    store.advance(timedelta(days=15) - MICROSECOND)
    assert store.add(idempotency_key="request:1") == second
    store.advance(MICROSECOND)
    assert store.add(idempotency_key="request:1") not in {first, second}


def test_twice_in_one_batch_an_idempotency_key_yields_the_first(store: VirtualStore):
    new = [new_command(idempotency_key=key) for key in ("b", "a", "b", "a", "b")]

    answers = store.enqueue(*new)

    assert [answer.id for answer in answers] == [new[0].id, new[1].id, new[0].id, new[1].id, new[0].id]
    assert [answer.created for answer in answers] == [True, True, False, False, False]


def test_an_idempotency_key_whose_command_met_a_unique_key_yields_the_holder_ever_after(store: VirtualStore):
    holder = store.start(unique_key="parcel:1")
    assert store.add(unique_key="parcel:1", idempotency_key="request:1") == holder.id
    store.settle(holder, Returned())

    again = store.enqueue(new_command(unique_key="parcel:1", idempotency_key="request:1"))

    assert [(answer.id, answer.created) for answer in again] == [(holder.id, False)]
    assert store.count("commands") == 0


def test_an_idempotency_key_comes_before_a_unique_key(store: VirtualStore):
    first = store.add(unique_key="parcel:1", idempotency_key="request:1")
    other = store.add(unique_key="parcel:2")

    # The same request, changed: it stands for what it stood for before.
    assert store.add(unique_key="parcel:2", idempotency_key="request:1") == first
    assert store.add(unique_key="parcel:2", idempotency_key="request:2") == other
    assert store.add(idempotency_key="request:2") == other


def test_both_keys_of_a_batch_lead_through_the_chain_to_the_live_command(store: VirtualStore):
    holder = store.add(unique_key="parcel:1")
    first = new_command(unique_key="parcel:1", idempotency_key="request:1")
    same_request = new_command(idempotency_key="request:1")
    same_parcel = new_command(unique_key="parcel:1")
    free = new_command(unique_key="parcel:2", idempotency_key="request:2")
    same_as_free = new_command(unique_key="parcel:2", idempotency_key="request:3")

    answers = store.enqueue(first, same_request, same_parcel, free, same_as_free)

    assert [answer.id for answer in answers] == [holder, holder, holder, free.id, free.id]
    assert [answer.created for answer in answers] == [False, False, False, True, False]
    assert store.add(idempotency_key="request:3") == free.id


def test_a_refused_command_leaves_its_idempotency_key_with_the_one_that_stands_for_it(store: VirtualStore):
    taken = store.add(idempotency_key="request:1")

    # Refused by its idempotency key, it never gets to claim its unique key.
    assert store.add(idempotency_key="request:1", unique_key="parcel:9") == taken
    assert store.enqueue(new_command(unique_key="parcel:9"))[0].created


def test_keys_past_their_time_are_pruned_a_bounded_number_at_once(store: VirtualStore):
    for number in range(5):
        store.add(idempotency_key=f"request:{number}")
        store.advance(timedelta(days=1))
    store.advance(keys.KEEP - timedelta(days=3))  # the first three are past their time, two are not

    assert [prune(store, limit=2), prune(store, limit=2), prune(store, limit=2)] == [2, 1, 0]
    assert [row["key"] if isinstance(row, dict) else row[1] for row in store.rows()["keys"]] == [
        "request:3",
        "request:4",
    ]


def test_a_key_is_pruned_at_the_moment_when_it_is_free(store: VirtualStore):
    store.add(idempotency_key="request:1")

    store.advance(keys.KEEP - MICROSECOND)
    assert prune(store) == 0

    store.advance(MICROSECOND)
    assert prune(store) == 1


def prune(store: VirtualStore, limit: int = 100) -> int:
    return store.database.transact(lambda connection: keys.prune(connection, limit=limit, now=store.now))
