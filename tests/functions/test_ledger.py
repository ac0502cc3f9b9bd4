"""The ledger of an invocation: nothing that is to be woken is forgotten, and nothing is taken for done too early."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from factories import claimed_command, new_command

from durex_core.execution.commits import Written
from durex_core.model import State
from durex_core.rules.outcomes import Settlement
from durex_core.serverless.ledger import Ledger

HELD = Written(held=True)
LOST = Written(held=False)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def settlement(*queues: str, delay: float = 0) -> Settlement:
    """Return a completion whose children are in these queues."""
    children = tuple(new_command(queue=queue, delay=timedelta(seconds=delay)) for queue in queues)
    return Settlement(claimed_command(), State.COMPLETED, "completed", children=children)


def test_nothing_begun_is_done(ledger):
    assert (ledger.is_done, ledger.news(0)) == (True, ({}, True))


def test_news_gather_until_they_are_taken(ledger):
    ledger.opened(3)
    ledger.settled([(settlement("a"), HELD)])
    ledger.settled([(settlement("b", "a"), HELD)])

    assert ledger.news(0) == ({"a": 2, "b": 1}, False)
    assert ledger.news(0) == ({}, False)


def test_what_becomes_ready_later_is_no_news(ledger):
    """It had its wakes before the commit."""
    ledger.opened(1)
    ledger.settled([(settlement("a", "b", delay=0.2), HELD)])

    assert ledger.news(60) == ({}, True)


def test_the_last_settlement_ends_it(ledger):
    ledger.opened(1)
    ledger.settled([(settlement("a"), HELD)])

    assert ledger.news(60) == ({"a": 1}, True)
    assert ledger.news(60) == ({}, True)


def test_settlements_may_come_before_their_attempts_are_counted(ledger):
    ledger.settled([(settlement("a"), HELD)])
    ledger.opened(1)

    assert ledger.news(60) == ({"a": 1}, True)


def test_what_was_not_stored_wakes_nobody_and_is_lost(ledger):
    ledger.opened(1)
    ledger.settled([(settlement("a"), LOST)])

    assert (ledger.news(0), ledger.lost) == (({}, True), 1)
    ledger.begin()
    assert ledger.lost == 0


def test_queues_in_which_a_join_became_ready_are_woken_too(ledger):
    ledger.opened(1)
    ledger.settled([(settlement("a"), Written(held=True, woken=("b", "c")))])

    assert ledger.news(0) == ({"a": 1, "b": 1, "c": 1}, True)


def test_what_waits_for_others_is_woken_by_them_alone(ledger):
    waiting = new_command(queue="later", awaits=1)
    ledger.opened(1)
    ledger.settled([(Settlement(claimed_command(), State.COMPLETED, "completed", children=(waiting,)), HELD)])

    assert ledger.news(0) == ({}, True)


def test_the_end_of_a_join_that_a_neighbour_wrote_is_told_though_the_own_lease_was_lost(ledger):
    ledger.opened(1)
    ledger.settled([(settlement("a"), Written(held=False, woken=("b",)))])

    assert (ledger.news(0), ledger.lost) == (({"b": 1}, True), 1)


def test_news_are_waited_for(ledger):
    ledger.opened(1)
    with ThreadPoolExecutor() as pool:
        news = pool.submit(ledger.news, 60)
        ledger.settled([(settlement("a"), HELD)])

        assert news.result(10) == ({"a": 1}, True)


def test_news_are_that_enough_attempts_ended(ledger):
    ledger.opened(3)
    ledger.settled([(settlement(), HELD)])
    assert (ledger.open, ledger.news(0, 1), ledger.news(0, 2)) == (2, ({}, False), ({}, True))
