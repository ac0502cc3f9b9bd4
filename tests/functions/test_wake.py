"""Wakes through SQS, and the answer that tells SQS which messages are to come again."""

from datetime import timedelta

import pytest
from botocore.stub import Stubber
from invocations import sqs_event, wake
from staging import wait_until

from durex_core.aws.clients import client
from durex_core.aws.wake import MalformedWake, SqsDeadLetters, SqsWake, WakeMessage
from durex_core.serverless.batch import failures, receive

NOW = timedelta(0)


def test_a_wake_survives_its_way():
    assert WakeMessage.decode(WakeMessage("orders", 3).encode()) == WakeMessage("orders", 3)
    assert WakeMessage.decode('{"v": 1, "queue": "orders"}') == WakeMessage("orders")


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
        "[" * 99_999,
    ],
)
def test_what_no_durex_wrote_is_no_wake(body):
    with pytest.raises(MalformedWake):
        WakeMessage.decode(body)


def test_a_batch_is_sorted_into_wakes_and_the_rest():
    received = receive(sqs_event(wake("q", 4), "hello", wake("q", 2)))

    assert (list(received.wakes), dict(received.malformed), received.depth) == (["m0", "m2"], {"m1": "hello"}, 2)


def test_failures_have_the_shape_that_sqs_reads():
    """Any other shape, an unknown or an empty id, and AWS delivers the whole batch again."""
    assert failures(["a", "b"]) == {"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}
    assert failures([]) == {"batchItemFailures": []}


def test_wakes_of_a_queue_go_out_by_tens(make_queue):
    queue = make_queue()

    assert SqsWake({"q": queue.url}).send([(WakeMessage("q", depth), NOW) for depth in range(23)])

    assert sorted(queue.depths()) == list(range(23))


def test_a_delay_is_rounded_up(make_queue):
    queue = make_queue()

    SqsWake({"q": queue.url}).ready({"q": timedelta(seconds=0.2)})

    assert (queue.count(), queue.count(delayed=True)) == (0, 1)
    wait_until(lambda: queue.count() == 1)


def test_what_is_due_in_more_than_fifteen_minutes_is_left_to_the_tick(make_queue):
    queue = make_queue()

    assert SqsWake({"q": queue.url}).send([(WakeMessage("q"), timedelta(minutes=15, seconds=1))])

    assert (queue.count(), queue.count(delayed=True)) == (0, 0)


def test_an_unknown_queue_does_not_keep_the_others_from_their_wakes(make_queue, caplog):
    queue = make_queue()

    assert not SqsWake({"q": queue.url}).send([(WakeMessage("unknown"), NOW), (WakeMessage("q"), NOW)])

    assert queue.count() == 1
    assert "no wake queue is known" in caplog.text


def test_a_send_that_fails_is_told_and_raises_nothing(make_queue, caplog):
    gone = make_queue().url + "-gone"

    assert not SqsWake({"q": gone}).send([(WakeMessage("q"), NOW)])
    SqsWake({"q": gone}).ready({"q": NOW})
    assert not SqsDeadLetters(gone).reject("hello")

    assert "the tick finds its work" in caplog.text


def test_an_entry_that_sqs_refuses_is_told(make_queue):
    url = make_queue().url
    entry = {"Id": "0", "SenderFault": False, "Code": "InternalError"}
    with Stubber(client("sqs")) as stub:
        stub.add_response("send_message_batch", {"Successful": [], "Failed": [entry]})

        assert not SqsWake({"q": url}).send([(WakeMessage("q"), NOW)])


def test_what_a_caller_is_yet_to_commit_is_told_twice_a_moment_later_and_again(monkeypatch):
    sent = []
    wake = SqsWake({"q": "https://sqs.example/q"})
    monkeypatch.setattr(SqsWake, "ready", lambda _, due: sent.append(dict(due)))

    wake.soon({"q": NOW, "later": timedelta(seconds=30)}, object())

    assert sent == [
        {"q": timedelta(seconds=2), "later": timedelta(seconds=30)},
        {"q": timedelta(seconds=60), "later": timedelta(seconds=60)},
    ]
