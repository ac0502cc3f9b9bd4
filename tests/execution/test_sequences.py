"""Sequences: commands one after another, each with what those before it have added to the payload."""

from typing import Any

import pytest

from durex_core import AsyncContext, Context
from durex_core.model import State
from durex_core.results import ContinueSequence, Next


@pytest.fixture
def orders(app):
    """Register the steps of an order: validate, charge and ship."""

    @app.command("validate")
    def validate(data: dict[str, Any]) -> ContinueSequence:
        return ContinueSequence(validated=True, items=data["items"] * 2)

    @app.command("charge")
    async def charge(ctx: AsyncContext, data: dict[str, Any]) -> ContinueSequence:
        assert ctx.command.sequence == ("ship",)
        if data["items"] > 100:
            raise ValueError("no credit")
        return ContinueSequence(charge_id=f"charge of {data['items']}")

    @app.command("ship")
    def ship(ctx: Context, data: dict[str, Any]) -> ContinueSequence:
        assert ctx.command.sequence == ()
        return ContinueSequence(shipped=data)

    return validate


def test_each_command_of_a_sequence_gets_what_those_before_it_have_added(orders, work, ended):
    work()
    orders.enqueue({"order_id": "42", "items": 1}, sequence=["charge", "ship"])

    (validated,), (charged,), (shipped,) = ended("validate"), ended("charge"), ended("ship")
    assert validated.result == {"validated": True, "items": 2}
    assert charged.payload == {"order_id": "42", "items": 2, "validated": True}
    assert charged.result == {"charge_id": "charge of 2"}
    assert shipped.payload == {"order_id": "42", "items": 2, "validated": True, "charge_id": "charge of 2"}
    assert shipped.result == {"shipped": shipped.payload}
    assert validated.payload == {"order_id": "42", "items": 1}


def test_the_commands_of_a_sequence_are_each_the_parent_of_the_next_and_carry_the_ids_of_the_first(orders, work, ended):
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    work()
    first = orders.enqueue(
        {"items": 1}, sequence=["charge", "ship"], correlation_id="order 42", traceparent=traceparent
    )

    (shipped,), (charged,) = ended("ship"), ended("charge")
    assert (charged.parent_id, shipped.parent_id) == (first.id, charged.id)
    assert {(one.correlation_id, one.traceparent) for one in (charged, shipped)} == {("order 42", traceparent)}


def test_without_ids_of_its_own_a_sequence_is_tied_together_by_the_id_of_the_first(orders, work, ended):
    work()
    first = orders.enqueue({"items": 1}, sequence=["charge", "ship"])

    assert {ended("ship")[0].correlation_id, ended("charge")[0].correlation_id} == {str(first.id)}


def test_a_step_that_fails_stops_the_chain(orders, work, ended, stage):
    work()
    orders.enqueue({"items": 100}, sequence=["charge", "ship"])

    (charged,) = ended("charge")
    assert (charged.state, charged.error.message) == (State.DEAD_LETTER, "no credit")
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'ship'") == [(0,)]


def test_a_step_that_is_tried_again_starts_from_the_same_payload_and_goes_on_once(app, work, ended):
    @app.command("flaky", retries=1)
    def flaky(ctx: Context, data: dict[str, Any]) -> ContinueSequence:
        if ctx.attempt == 1:
            data["spoilt"] = True
            raise ValueError("once")
        return ContinueSequence(seen=dict(data))

    @app.command("last")
    def last(data: dict[str, Any]) -> dict[str, Any]:
        return data

    work()
    flaky.enqueue({"a": 1}, sequence=["last"])

    assert ended("last")[0].result == {"a": 1, "seen": {"a": 1}}


def test_a_step_that_returns_something_else_ends_the_chain_there(app, work, ended, stage):
    @app.command("first")
    def first() -> str:
        return "enough"

    @app.command("second")
    def second() -> None: ...

    work()
    first.enqueue(sequence=["second"])

    assert (ended("first")[0].state, ended("first")[0].result) == (State.COMPLETED, "enough")
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'second'") == [(0,)]


def test_without_a_sequence_continuing_completes_with_what_was_given(app, work, finished):
    @app.command("alone")
    def alone(which: str) -> ContinueSequence:
        return ContinueSequence(done=which) if which else ContinueSequence()

    work()

    full, empty = finished(alone.enqueue("yes")), finished(alone.enqueue(""))
    assert (full.state, full.result) == (State.COMPLETED, {"done": "yes"})
    assert (empty.state, empty.result) == (State.COMPLETED, None)


def test_a_sequence_may_begin_without_a_payload(app, work, ended):
    @app.command("first")
    def first() -> ContinueSequence:
        return ContinueSequence(a=1)

    @app.command("second")
    def second(data: dict[str, Any]) -> dict[str, Any]:
        return data

    work()
    first.enqueue(sequence=["second"])

    assert ended("second")[0].result == {"a": 1}


@pytest.mark.parametrize("payload", [[1, 2], "text", 5])
def test_a_payload_that_is_no_object_cannot_be_continued(app, work, finished, stage, payload):
    @app.command("first", retries=3)
    def first(data: Any) -> ContinueSequence:  # noqa: ARG001  a payload is what this is about
        return ContinueSequence(a=1)

    @app.command("second")
    def second() -> None: ...

    work()

    command = finished(first.enqueue(payload, sequence=["second"]))
    assert (command.state, command.attempt, command.error.type) == (State.DEAD_LETTER, 1, "InvalidResult")
    assert "ContinueSequence adds to a payload that is a JSON object" in command.error.message
    assert type(payload).__name__ in command.error.message
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'second'") == [(0,)]


def test_data_that_is_no_json_or_that_the_next_handler_cannot_take_fails_the_step_for_good(app, work, finished):
    @app.command("first", retries=3)
    def first(data: dict[str, Any]) -> ContinueSequence:
        return ContinueSequence(number=object() if data["how"] == "odd" else "no number")

    @app.command("second")
    def second(data: dict[str, int]) -> None: ...

    work()

    odd = finished(first.enqueue({"how": "odd"}, sequence=["second"]))
    wrong = finished(first.enqueue({"how": "wrong"}, sequence=["second"]))
    assert (odd.attempt, odd.error.type) == (1, "InvalidResult")
    assert (wrong.attempt, wrong.error.type) == (1, "InvalidPayload")


def test_a_hook_cannot_go_on_with_a_chain_that_has_failed(app, work, finished, stage):
    @app.command("first", on_recover=lambda: ContinueSequence(anyway=True))
    def first() -> None:
        raise ValueError("no")

    @app.command("second")
    def second() -> None: ...

    work()

    command = finished(first.enqueue(sequence=["second"]))
    assert command.recovery.error.type == "InvalidResult"
    assert "ContinueSequence" in command.recovery.error.message
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'second'") == [(0,)]


def test_a_step_may_leave_its_chain_by_next(app, work, ended, stage):
    @app.command("first")
    def first(data: dict[str, Any]) -> object:
        return Next(other.spec(data["id"]))

    @app.command("second")
    def second() -> None: ...

    @app.command("other")
    def other(number: int) -> int:
        return number

    work()
    first.enqueue({"id": 7}, sequence=["second"])

    assert (ended("other")[0].result, ended("other")[0].sequence) == (7, ())
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'second'") == [(0,)]
