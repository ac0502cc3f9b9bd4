"""Undoing the steps of a command that failed for good: the last one first, each after the one before."""

from datetime import timedelta

from factories import claimed_command, compensation, error_info
from hypothesis import given
from hypothesis import strategies as st

from durex_core.model import Compensation, Extras, State
from durex_core.rules.lifecycle import decide, first_state
from durex_core.rules.outcomes import Expired, Failed
from durex_core.rules.saga import inherited, registered, unwind
from durex_core.rules.wakes import Due

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

compensations = st.lists(st.builds(compensation, st.text("abc", max_size=2)), max_size=6).map(tuple)


@given(known=compensations)
def test_the_last_step_is_undone_first(known: tuple[Compensation, ...]):
    undoing = unwind(claimed_command(compensations=known))

    assert [step.id for step in undoing] == [compensation.command.id for compensation in reversed(known)]
    assert len({step.id for step in undoing}) == len(known)


@given(known=compensations)
def test_each_waits_for_the_one_before(known: tuple[Compensation, ...]):
    undoing = unwind(claimed_command(compensations=known))

    assert [step.awaits for step in undoing] == [int(position > 0) for position in range(len(undoing))]
    assert [step.join_id for step in undoing] == [step.id for step in undoing[1:]] + [None] * bool(undoing)
    assert [step.extras.join_position for step in undoing] == [0] * (len(undoing) - 1) + [None] * bool(undoing)


@given(known=compensations)
def test_each_that_waits_goes_on_though_the_one_before_has_failed(known: tuple[Compensation, ...]):
    undoing = unwind(claimed_command(compensations=known))

    assert [step.extras.allow_failures for step in undoing] == [bool(step.awaits) for step in undoing]


@given(known=compensations)
def test_the_first_is_ready_and_the_others_wait(known: tuple[Compensation, ...]):
    undoing = unwind(claimed_command(compensations=known))

    assert [first_state(step) for step in undoing] == [State.PENDING, *[State.WAITING] * 9][: len(undoing)]


def test_without_compensations_nothing_is_undone():
    assert unwind(claimed_command()) == ()


def test_unwinding_twice_yields_the_same_commands():
    command = claimed_command(compensations=(compensation("a"), compensation("b")))

    assert unwind(command) == unwind(command)


def test_what_undoes_a_step_belongs_to_the_command_that_failed():
    failed = claimed_command(
        compensations=(compensation("a"), compensation("b")),
        correlation_id="order:42",
        extras=Extras(traceparent=TRACEPARENT),
    )

    for step in unwind(failed):
        assert (step.parent_id, step.correlation_id) == (failed.id, "order:42")
        assert step.extras.traceparent == TRACEPARENT


def test_without_a_correlation_the_id_of_the_command_that_failed_ties_them_together():
    failed = claimed_command(compensations=(compensation(),))

    assert unwind(failed)[0].correlation_id == str(failed.id)


def test_a_compensation_keeps_its_own_options():
    extras = Extras(metadata={"a": 1}, deadline=timedelta(hours=1), period=timedelta(minutes=5))
    known = compensation("a", payload={"amount": 1}, priority=7, retries=3, tags=("undo",), extras=extras)

    (step,) = unwind(claimed_command(compensations=(known,)))

    assert (step.payload, step.priority, step.retries, step.tags) == ({"amount": 1}, 7, 3, ("undo",))
    assert (step.extras.metadata, step.extras.deadline, step.extras.period) == (
        extras.metadata,
        extras.deadline,
        extras.period,
    )


def test_a_failure_that_is_tried_again_undoes_nothing():
    command = claimed_command(retries=1, compensations=(compensation(),))

    assert decide(command, Failed(error_info()), 0.5).children == ()


def test_a_failure_for_good_and_an_expiry_undo_everything():
    command = claimed_command(compensations=(compensation("a"), compensation("b")))

    for outcome in (Failed(error_info()), Expired()):
        settlement = decide(command, outcome, 0.5)
        assert settlement.children == unwind(command)
        assert settlement.wakes == {"undo": Due()}


def test_a_new_step_is_registered_at_the_end():
    first, second = compensation("a"), compensation("b")

    assert registered((), "a", first.command) == (first,)
    assert registered((first,), "b", second.command) == (first, second)


@given(known=st.lists(st.sampled_from("abcd"), unique=True), key=st.sampled_from("abcd"))
def test_a_step_that_was_done_again_is_replaced_where_it_stands(known: list[str], key: str):
    before = tuple(compensation(name) for name in known)
    again = compensation(key)

    after = registered(before, key, again.command)

    assert [kept.key for kept in after] == known + [key] * (key not in known)
    assert all((kept == again) if kept.key == key else (kept in before) for kept in after)


def test_the_next_command_of_a_sequence_takes_over_what_undoes_the_steps_behind_it():
    command = claimed_command(compensations=(compensation("a"), compensation("b")))

    taken_over = inherited(command)

    assert [kept.command for kept in taken_over] == [kept.command for kept in command.compensations]
    assert [kept.key for kept in taken_over] == [f"{command.id}:a", f"{command.id}:b"]


def test_keys_of_the_next_command_do_not_meet_those_that_it_took_over():
    first = claimed_command(compensations=(compensation("a"),))
    own = compensation("a")

    known = registered(inherited(first), "a", own.command)
    again = registered(inherited(claimed_command(compensations=known)), "a", compensation("a").command)

    assert len(known) == 2
    assert len({kept.key for kept in again}) == len(again) == 3
