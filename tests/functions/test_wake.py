"""Wakes through SQS, and the answer that tells SQS which messages are to come again."""

from datetime import timedelta

import pytest
from botocore.stub import Stubber
from invocations import sqs_event, wake
from staging import wait_until

from durex_core.aws.clients import client
from durex_core.aws.wake import MalformedWake, SqsDeadLetters, SqsWake, WakeMessage
from durex_core.rules.wakes import Due
from durex_core.serverless.batch import failures, receive

READY = {"q": Due()}


def test_a_wake_survives_its_way():
    assert WakeMessage.decode(WakeMessage("orders", 12, 3).encode()) == WakeMessage("orders", count=12, depth=3)
    assert WakeMessage.decode('{"v": 1, "queue": "orders"}') == WakeMessage("orders", count=1, depth=0)
    assert WakeMessage.decode('{"v": 1, "queue": "orders", "depth": 3}') == WakeMessage("orders", depth=3)
    assert WakeMessage.decode('{"v": 1, "queue": "orders", "count": 0}') == WakeMessage("orders")
    assert WakeMessage.decode('{"v": 1, "queue": "orders", "colour": "red"}') == WakeMessage("orders")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "null",
        "[]",
        "7",
        "{}",
        '{"v": 2, "queue": "orders"}',
        '{"v": 1}',
        '{"v": 1, "queue": 7}',
        '{"v": 1, "queue": "orders", "count": "many"}',
        '{"v": 1, "queue": "orders", "depth": null}',
        "[" * 99_999,
    ],
)
def test_what_no_durex_wrote_is_no_wake(body):
    with pytest.raises(MalformedWake):
        WakeMessage.decode(body)


def test_a_batch_is_sorted_into_wakes_and_the_rest():
    received = receive(sqs_event(wake("q", count=3, depth=4), "hello", wake("q", depth=2)))

    assert (list(received.wakes), dict(received.malformed)) == (["m0", "m2"], {"m1": "hello"})
    assert (received.depth, received.count) == (2, 4)


def test_failures_have_the_shape_that_sqs_reads():
    """Any other shape, an unknown or an empty id, and AWS delivers the whole batch again."""
    assert failures(["a", "b"]) == {"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}
    assert failures([]) == {"batchItemFailures": []}


def test_ready_work_goes_out_in_at_most_ten_wakes_that_share_its_count(make_queue):
    queue = make_queue()

    assert SqsWake({"q": queue.url}).ready({"q": Due(count=10_000, depth=3)})

    wakes = queue.wakes()
    assert len(wakes) == 10
    assert sum(wake.count for wake in wakes) == 10_000
    assert {(wake.queue, wake.count, wake.depth) for wake in wakes} == {("q", 1000, 3)}


def test_a_delay_is_rounded_up(make_queue):
    queue = make_queue()

    SqsWake({"q": queue.url}).ahead({"q": Due(timedelta(seconds=0.2))})

    assert (queue.count(), queue.count(delayed=True)) == (0, 2)
    wait_until(lambda: queue.count() == 1)
    assert queue.count(delayed=True) == 1


def test_a_send_that_fails_is_told_and_raises_nothing(make_queue, caplog):
    gone = make_queue().url + "-gone"

    assert not SqsWake({"q": gone}).ahead(READY)
    assert not SqsWake({"q": gone}).ready(READY)
    assert not SqsWake({"q": gone}).soon(READY, object())
    assert not SqsDeadLetters(gone).reject("hello")

    assert "1 wakes for queue 'q' were not sent" in caplog.text


def test_an_entry_that_sqs_refuses_is_told(make_queue, caplog):
    url = make_queue().url
    entry = {"Id": "0", "SenderFault": False, "Code": "InternalError"}
    with Stubber(client("sqs")) as stub:
        stub.add_response("send_message_batch", {"Successful": [], "Failed": [entry]})

        assert not SqsWake({"q": url}).ready(READY)

    assert "InternalError" in caplog.text
