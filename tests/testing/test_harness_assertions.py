"""What was enqueued can be asserted and listed, whatever has become of it; a wrong guess is told what there was."""

from datetime import timedelta
from unittest import mock

import pytest
from factories import START
from pydantic import BaseModel

from durex_core.errors import InvalidSpec
from durex_core.model import State
from durex_core.testing import ANY

HOUR = timedelta(hours=1)


class Order(BaseModel):
    id: str
    amount: int = 1


@pytest.fixture
def ship(app):
    @app.command("ship", queue="parcels", priority=3)
    def ship(order: Order) -> str:
        if order.id == "bad":
            raise ValueError("no such order")
        return f"shipped {order.id}"

    return ship


@pytest.fixture
def bill(app):
    @app.command("bill", dead_letter=False)
    def bill(order_id: str) -> None:
        raise KeyError(order_id)

    return bill


def test_what_was_enqueued_is_found_by_name_handle_and_payload(harness, ship):
    first = ship.enqueue(Order(id="42"))
    second = ship.enqueue(Order(id="43", amount=2))

    assert harness.assert_enqueued("ship").id in {first.id, second.id}
    assert harness.assert_enqueued(ship, Order(id="42")).id == first.id
    assert harness.assert_enqueued(ship, {"id": "43", "amount": 2}).id == second.id
    assert harness.assert_enqueued(ship, {"id": ANY, "amount": 2}).id == second.id
    assert harness.assert_enqueued(ship, {"id": mock.ANY, "amount": 2}).id == second.id
    harness.run_until_idle()
    assert harness.assert_enqueued(ship, Order(id="42"), state=State.COMPLETED).result == "shipped 42"


def test_options_are_compared_with_what_the_command_was_given(harness, ship):
    ship.enqueue(Order(id="42"), delay=HOUR, tags=["a", "b"], unique_key="order:42", retries=0)

    harness.assert_enqueued(ship, delay=HOUR, run_at=START + HOUR, priority=3, queue="parcels", metadata={})
    harness.assert_enqueued(ship, tags=["a", "b"], unique_key="order:42", retries=0, deadline=None)
    harness.assert_not_enqueued(ship, delay=2 * HOUR)
    harness.assert_not_enqueued(ship, tags=["a"])
    harness.assert_not_enqueued(ship, Order(id="43"))
    harness.assert_not_enqueued("bill")


def test_a_wrong_guess_is_told_what_was_enqueued_instead_the_same_name_first(harness, ship, bill):
    bill.enqueue("42")
    harness.run_until_idle()
    ship.enqueue(Order(id="42"))

    with pytest.raises(AssertionError) as raised:
        harness.assert_enqueued(ship, Order(id="43"), priority=7)

    assert str(raised.value).splitlines() == [
        "no command 'ship' with payload=Order(id='43', amount=1), priority=7 was enqueued, but:",
        "  ship {'id': '42', 'amount': 1} priority=3 (pending)",
        "  bill '42' priority=0 (failed)",
    ]


def test_a_guess_about_nothing_is_told_so(harness, ship):
    with pytest.raises(AssertionError, match="no command 'ship' was enqueued, but:\n  nothing"):
        harness.assert_enqueued(ship)


def test_what_was_not_to_be_enqueued_is_named(harness, ship):
    ship.enqueue(Order(id="42"))

    with pytest.raises(AssertionError, match=r"no command 'ship' was to be enqueued, but:\n  ship \{'id': '42'"):
        harness.assert_not_enqueued("ship")


def test_a_long_list_is_cut(harness, bill):
    for number in range(25):
        bill.enqueue(str(number))

    with pytest.raises(AssertionError, match=r"  and 5 more$"):
        harness.assert_enqueued("ship")


def test_an_option_that_no_command_has_is_refused(harness, ship):
    ship.enqueue(Order(id="42"))

    with pytest.raises(InvalidSpec, match="dealy: is nothing that a command has"):
        harness.assert_enqueued(ship, dealy=HOUR)


def test_commands_are_listed_live_and_finished_in_the_order_of_their_creation(harness, ship, bill):
    ship.enqueue(Order(id="1"))
    harness.advance(HOUR)
    bill.enqueue("2")
    harness.advance(HOUR)
    ship.enqueue(Order(id="3"))

    assert [(command.name, command.state) for command in harness.commands()] == [
        ("ship", State.COMPLETED),
        ("bill", State.FAILED),
        ("ship", State.PENDING),
    ]
    assert [command.payload["id"] for command in harness.commands(ship)] == ["1", "3"]
    assert [command.payload for command in harness.commands("bill")] == ["2"]


def test_all_of_many_are_listed(app, harness, bill):
    app.enqueue_many([bill.spec(str(number)) for number in range(1001)])

    assert sorted(int(command.payload) for command in harness.commands()) == list(range(1001))


def test_failures_are_listed_with_their_errors(harness, ship, bill):
    harness.assert_no_failures()
    ship.enqueue(Order(id="bad"))
    harness.advance(HOUR)
    bill.enqueue("42")
    ship.enqueue(Order(id="good"))
    harness.run_until_idle()

    assert [(failed.name, failed.state, failed.error.type) for failed in harness.failures] == [
        ("ship", State.DEAD_LETTER, "ValueError"),
        ("bill", State.FAILED, "KeyError"),
    ]
    with pytest.raises(AssertionError, match=r"(?s)for good: 2\n.*no such order.*bill '42' \(failed\), attempt 1"):
        harness.assert_no_failures()
