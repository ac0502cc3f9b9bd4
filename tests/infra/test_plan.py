"""The plan of each queue: names and times."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.plan import QueuePlan, identifier, plan_queues
from infra.settings import QueueSettings, Settings

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,40}", fullmatch=True)


def plan_of(manifest_of, seconds: float | None, **settings: object) -> QueuePlan:
    (plan,) = plan_queues(Settings(**settings), manifest_of(("charge", "charge", seconds)))
    return plan


def test_a_name_in_snake_case_reads_well():
    assert identifier("process_order") == "ProcessOrder"
    assert identifier("charge") == "Charge"


@pytest.mark.parametrize("name", ["process-order", "process.order", "ProcessOrder", "_process_order", "process_1"])
def test_any_other_name_carries_a_hash(name: str):
    assert re.fullmatch(r"Process(Order|1)[0-9a-f]{8}", identifier(name))


@given(NAMES, NAMES)
def test_two_names_have_two_identifiers(one: str, other: str):
    assert (identifier(one) == identifier(other)) == (one == other)
    assert identifier(one).isalnum()
    assert identifier(one).isascii()


def test_the_times_of_a_queue_stand_in_their_order(manifest_of):
    plan = plan_of(manifest_of, 30.0)

    assert (plan.timeout_seconds, plan.lease_seconds, plan.visibility_seconds) == (40, 50, 240)


def test_a_queue_whose_commands_set_no_timeout_has_the_settings_default(manifest_of):
    assert plan_of(manifest_of, None).timeout_seconds == 70
    assert plan_of(manifest_of, None, default_command_timeout_seconds=5).timeout_seconds == 15


def test_a_part_of_a_second_is_rounded_up(manifest_of):
    assert plan_of(manifest_of, 0.5).timeout_seconds == 11


def test_the_window_of_a_batch_lengthens_the_visibility(manifest_of):
    assert plan_of(manifest_of, 30.0, batching_window_seconds=20).visibility_seconds == 260


def test_a_shared_queue_waits_for_its_longest_command(manifest_of):
    (plan,) = plan_queues(Settings(), manifest_of(("charge", "money", 30.0), ("refund", "money", 90.0)))

    assert plan.commands == ("charge", "refund")
    assert plan.timeout_seconds == 100


def test_a_queues_own_settings_win(manifest_of):
    own = QueueSettings(max_concurrency=3, batch_size=1, memory_megabytes=1024, reserved_concurrency=4)
    plan = plan_of(manifest_of, 30.0, queues={"charge": own})

    assert (plan.max_concurrency, plan.batch_size, plan.memory_megabytes, plan.reserved_concurrency) == (3, 1, 1024, 4)


def test_in_a_shared_queue_a_command_without_a_timeout_has_the_default(manifest_of):
    (plan,) = plan_queues(Settings(), manifest_of(("charge", "money", 5.0), ("refund", "money", None)))

    assert plan.timeout_seconds == 70
