"""One suite for all ways to wake: in this process, in the simulation, and through the SQS of an emulator."""

import logging
from collections.abc import Mapping
from datetime import timedelta

import pytest
from wakes.grounds import LocalGround, SqsGround

from durex_core.rules.wakes import Due

Ground = LocalGround | SqsGround
SECOND = timedelta(seconds=1)


def test_ready_work_is_heard_of_at_once(ground: Ground):
    assert ground.wake.ready({"q": Due()})

    assert ground.heard("q") == [1]
    assert ground.heard("q") == []


def test_before_a_commit_nobody_hears_of_it(ground: Ground):
    assert ground.wake.ahead({"q": Due(), "other": Due(SECOND * 60)})

    assert ground.heard("q") == ground.heard("other") == []


def test_what_is_told_ahead_and_then_ready_is_heard_once(ground: Ground):
    assert ground.wake.ahead({"q": Due(count=3)})
    assert ground.wake.ready({"q": Due(count=3)})

    assert len(ground.heard("q")) == 1


def test_a_queue_that_nobody_deployed_is_logged_and_keeps_no_other_from_its_wake(
    ground: Ground, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.ERROR):
        ground.wake.ahead({"unknown": Due(), "q": Due()})
        ground.wake.ready({"unknown": Due(), "q": Due()})

    assert ground.heard("q") == [1]
    if ground.counts:
        assert "no wake queue is known for the command queue 'unknown'" in caplog.text


def test_much_work_is_told_in_at_most_ten_wakes_that_share_it(sqs_ground: SqsGround):
    assert sqs_ground.wake.ready({"q": Due(count=25)})
    assert sqs_ground.heard("q") == [8, 8, 9]

    assert sqs_ground.wake.ready({"q": Due(count=10_003)})
    heard = sqs_ground.heard("q")

    assert (len(heard), sum(heard)) == (10, 10_003)


def test_a_wake_of_one_queue_is_not_heard_in_another(sqs_ground: SqsGround):
    sqs_ground.wake.ready({"other": Due()})

    assert (sqs_ground.heard("q"), sqs_ground.heard("other")) == ([], [1])


def test_a_delayed_wake_is_heard_at_its_time_and_not_before(sqs_ground: SqsGround):
    assert sqs_ground.wake.ahead({"q": Due(SECOND)})
    assert sqs_ground.heard("q") == []

    assert sqs_ground.hears_within("q", 1.5)


def test_a_delayed_wake_is_on_its_way_with_its_echo(sqs_ground: SqsGround):
    sqs_ground.wake.ahead({"q": Due(SECOND * 300)})

    assert sqs_ground.to_come("q") == 2


def test_a_commit_has_an_echo_which_the_next_ones_share(sqs_ground: SqsGround):
    for _ in range(3):
        assert sqs_ground.wake.ahead({"q": Due()})

    assert sqs_ground.to_come("q") in (1, 2)  # a half minute may begin in between


def test_a_transaction_of_the_callers_is_told_of_soon_and_again(sqs_ground: SqsGround):
    assert sqs_ground.wake.soon({"q": Due()}, object())  # type: ignore[arg-type]  SQS knows no transactions

    assert sqs_ground.heard("q") == []
    assert sqs_ground.to_come("q") == 2


@pytest.mark.parametrize("due", [{"q": Due()}, {"q": Due(SECOND * 60)}], ids=["ready", "later"])
def test_what_cannot_be_arranged_is_said(sqs_ground: SqsGround, due: Mapping[str, Due]):
    gone = sqs_ground.make({"q": sqs_ground.urls["q"] + "-gone"})

    assert not gone.ahead(due)
    assert not gone.ready({"q": Due()})


def test_a_queue_that_takes_nothing_keeps_no_other_from_its_wake(sqs_ground: SqsGround):
    half_gone = sqs_ground.make({"q": sqs_ground.urls["q"] + "-gone", "other": sqs_ground.urls["other"]})

    assert not half_gone.ready({"q": Due(), "other": Due()})

    assert sqs_ground.heard("other") == [1]
