"""The simulated SQS keeps to the limits of the real one."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from durex_core.testing.cloud.errors import ServiceError
from durex_core.testing.cloud.faults import Faults, RandomFaults, Way
from durex_core.testing.cloud.queues import Message, Queue
from durex_core.testing.cloud.sqs import SimulatedSqs
from durex_core.testing.cloud.timeline import Timeline

MIB = 1024 * 1024


class Account:
    """A queue with a dead letter queue, and the time."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.timeline = Timeline(datetime(2026, 1, 1, tzinfo=UTC))
        self.sqs = SimulatedSqs(self.timeline, faults or Faults(), lambda _, effect: effect())
        self.dead = self.sqs.make("dead")
        self.queue = self.sqs.make("q", visibility=30.0, most_receives=3, dead_letters=self.dead)

    def send(self, *bodies: str, delay: float = 0) -> dict[str, object]:
        entries = [{"Id": str(n), "MessageBody": body, "DelaySeconds": delay} for n, body in enumerate(bodies)]
        return self.sqs.send_message_batch(QueueUrl=self.queue.url, Entries=entries)

    def receive(self, count: int = 10, queue: Queue | None = None) -> list[dict[str, object]]:
        answer = self.sqs.receive_message(QueueUrl=(queue or self.queue).url, MaxNumberOfMessages=count)
        return answer.get("Messages", [])  # type: ignore[no-any-return]

    def bodies(self, queue: Queue | None = None) -> list[object]:
        return [message["Body"] for message in self.receive(queue=queue)]

    def wait(self, seconds: float) -> None:
        self.timeline.pass_until(self.timeline.seconds + seconds)


@pytest.fixture
def account() -> Account:
    return Account()


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ServiceError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"]).rpartition(".")[2]


def test_a_message_is_received_once_and_then_kept_from_others(account: Account):
    account.send("hello")

    assert account.bodies() == ["hello"]
    assert account.bodies() == []


def test_a_message_that_was_not_deleted_comes_again_after_the_visibility_timeout(account: Account):
    account.send("hello")
    account.receive()
    account.wait(29.9)
    assert account.bodies() == []

    account.wait(0.1)

    (message,) = account.receive()
    assert message["Attributes"] == {"ApproximateReceiveCount": "2"}


def test_a_deleted_message_never_comes_again(account: Account):
    account.send("hello")
    (message,) = account.receive()

    account.sqs.delete_message(QueueUrl=account.queue.url, ReceiptHandle=message["ReceiptHandle"])
    account.wait(1000)

    assert account.bodies() == []


def test_an_old_receipt_does_not_delete(account: Account):
    account.send("hello")
    (first,) = account.receive()
    account.wait(30)
    account.receive()

    account.sqs.delete_message(QueueUrl=account.queue.url, ReceiptHandle=first["ReceiptHandle"])
    account.wait(30)

    assert account.bodies() == ["hello"]


def test_its_visibility_can_be_changed_while_it_is_in_flight(account: Account):
    account.send("hello")
    (message,) = account.receive()
    change = account.sqs.change_message_visibility
    handle = {"QueueUrl": account.queue.url, "ReceiptHandle": message["ReceiptHandle"]}

    change(**handle, VisibilityTimeout=100)
    account.wait(99)
    assert account.bodies() == []
    account.wait(1)

    assert account.bodies() == ["hello"]
    assert code_of(lambda: change(**handle, VisibilityTimeout=43_201)) == "InvalidParameterValue"


def test_what_is_received_too_often_goes_to_the_dead_letter_queue(account: Account):
    account.send("poison")
    for _ in range(3):
        assert account.bodies() == ["poison"]
        account.wait(30)

    assert account.bodies() == []
    assert account.bodies(account.dead) == ["poison"]


def test_a_delay_is_kept_to_the_second(account: Account):
    account.send("later", delay=900)
    account.wait(899.9)
    assert account.bodies() == []

    account.wait(0.1)

    assert account.bodies() == ["later"]


def test_a_delay_above_fifteen_minutes_is_refused_entry_by_entry(account: Account):
    entries = [{"Id": "a", "MessageBody": "x", "DelaySeconds": 901}, {"Id": "b", "MessageBody": "y"}]

    answer = account.sqs.send_message_batch(QueueUrl=account.queue.url, Entries=entries)

    assert [each["Id"] for each in answer["Successful"]] == ["b"]
    assert [(each["Id"], each["Code"]) for each in answer["Failed"]] == [("a", "InvalidParameterValue")]
    one = account.sqs.send_message
    assert (
        code_of(lambda: one(QueueUrl=account.queue.url, MessageBody="x", DelaySeconds=901)) == "InvalidParameterValue"
    )


def test_a_batch_has_one_to_ten_entries_with_ids_of_their_own(account: Account):
    assert code_of(account.send) == "EmptyBatchRequest"
    assert code_of(lambda: account.send(*"elevenlines")) == "TooManyEntriesInBatchRequest"
    same = [{"Id": "0", "MessageBody": "x"}] * 2
    send = account.sqs.send_message_batch
    assert code_of(lambda: send(QueueUrl=account.queue.url, Entries=same)) == "BatchEntryIdsNotDistinct"
    assert account.sqs.sent == 0


def test_a_batch_and_a_message_hold_a_mebibyte(account: Account):
    account.send("x" * (MIB // 2), "x" * (MIB // 2))

    assert code_of(lambda: account.send("x" * (MIB // 2), "x" * (MIB // 2 + 1))) == "BatchRequestTooLong"
    body = "é" * (MIB // 2 + 1)
    assert (
        code_of(lambda: account.sqs.send_message(QueueUrl=account.queue.url, MessageBody=body))
        == "InvalidParameterValue"
    )


def test_at_most_ten_are_received_at_once(account: Account):
    account.send(*"abcdefghij")
    account.send("k")

    assert (len(account.receive(10)), len(account.receive(10))) == (10, 1)
    assert code_of(lambda: account.receive(11)) == "InvalidParameterValue"


def test_a_hundred_and_twenty_thousand_are_in_flight_at_most():
    assert Queue("q").most_in_flight == 120_000
    queue = Queue("q", visibility=30.0, most_in_flight=12)
    for number in range(13):
        queue.put(Message(str(number), "x", 0.0, 0.0, number), 0.0)

    taken = queue.receive(13, 0.0)

    assert (len(taken), queue.in_flight(0.0), queue.receive(1, 0.0)) == (12, 12, [])
    queue.delete(taken[0].receipt)
    assert len(queue.receive(10, 0.0)) == 1


def test_an_unknown_queue_is_an_error(account: Account):
    send = account.sqs.send_message
    assert code_of(lambda: send(QueueUrl="https://sqs.simulated/none", MessageBody="x")) == "NonExistentQueue"


def test_attributes_count_what_is_there(account: Account):
    account.send("a", "b", "c")
    account.send("d", delay=10)
    account.receive(1)
    names = ["", "Delayed", "NotVisible"]

    answer = account.sqs.get_queue_attributes(
        QueueUrl=account.queue.url, AttributeNames=[f"ApproximateNumberOfMessages{name}" for name in names]
    )

    assert list(answer["Attributes"].values()) == ["2", "1", "1"]


@pytest.mark.parametrize(("way", "arrive"), [(Way.LOST, 0), (Way.STRAIGHT, 1), (Way.DOUBLED, 2)])
def test_a_message_may_be_lost_or_come_twice(way: Way, arrive: int):
    account = Account(RandomFaults(0, rate=1.0, ways=(way,)))

    assert account.send("hello")["Successful"]

    assert account.bodies() == ["hello"] * arrive


def test_a_message_may_come_late_and_after_others():
    account = Account(RandomFaults(0, rate=1.0, ways=(Way.LATE,)))
    account.send("hello")
    assert account.bodies() == []

    account.wait(1200)

    assert account.bodies() == ["hello"]


def test_messages_come_in_any_order():
    account = Account(RandomFaults(0, rate=0.0))
    account.send(*"abcdefghij")

    bodies = account.bodies()

    assert bodies != sorted(map(str, bodies))
    assert sorted(map(str, bodies)) == list("abcdefghij")
