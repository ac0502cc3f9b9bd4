"""What wakes lead to in SQS and EventBridge Scheduler: bells, echoes and alarms, and which stands in for which."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest
from aws_calls import ALARMS, Refused, Scheduler, Sqs
from factories import START
from hypothesis import given, settings
from hypothesis import strategies as st

from durex_core.aws.alarm import SchedulerAlarms
from durex_core.aws.wake import BY_MESSAGE, SqsWake
from durex_core.rules.wakes import LONGEST_DELAY, Due, bucket_of, fires_at, next_bucket

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
READY = {"q": Due()}
UNKNOWN = "no wake queue is known"


class Desk:
    """A wake whose AWS is not there, on a clock that the test moves."""

    def __init__(self) -> None:
        self.sqs = Sqs()
        self.scheduler = Scheduler()
        self.begin()

    def begin(self) -> None:
        """Begin anew, with a wake that has sent nothing yet."""
        self.now = START + 7.5 * SECOND
        self.sqs.forget()
        self.scheduler.forget()
        self.wake = self.make(alarms=Book(self.scheduler))

    def make(self, **options: Any) -> SqsWake:
        """Build a wake with two queues, as a new process does."""
        return SqsWake({"q": "u", "other": "v"}, sqs=self.sqs, now=lambda: self.now, **options)


class Book:
    """Alarms that nobody has booked yet."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.booked: list[datetime] = []
        self._alarms = SchedulerAlarms(ALARMS, scheduler=scheduler)

    def book(self, bucket: datetime) -> bool:
        self.booked.append(bucket)
        return self._alarms.create(bucket)

    def create(self, bucket: datetime) -> bool:
        return self._alarms.create(bucket)


@pytest.fixture(scope="module")
def one_desk() -> Desk:
    """To make clients takes longer than a test."""
    return Desk()


@pytest.fixture
def desk(one_desk: Desk) -> Desk:
    """A wake that has sent nothing yet."""
    one_desk.begin()
    return one_desk


def test_ready_work_has_an_echo_on_the_next_but_one_half_minute_and_a_bell(desk):
    assert desk.wake.ahead({"q": Due(count=3, depth=2)})
    assert desk.wake.ready({"q": Due(count=3, depth=2)})

    body = {"v": 1, "queue": "q", "count": 3, "depth": 2}
    assert desk.sqs.sent == [("u", body, 53), ("u", body, 0)]
    assert (desk.now + 52.5 * SECOND).second == 0


def test_commits_share_their_echo_and_each_rings_the_bell(desk):
    for _ in range(300):
        desk.wake.ahead(READY)
        desk.wake.ready(READY)
        desk.now += SECOND

    assert desk.sqs.delays.count(0) == 300
    # One for each half minute, and the first one.
    assert len(desk.sqs.requests) - 300 == 11
    assert max(desk.sqs.delays) <= 60


def test_an_echo_is_of_one_queue_alone(desk):
    desk.wake.ahead(READY)
    desk.wake.ahead(READY | {"other": Due()})

    assert [url for url, _, _ in desk.sqs.sent] == ["u", "v"]


@pytest.mark.parametrize(
    ("count", "shares"),
    [
        (1, [1]),
        (10, [10]),
        (11, [6, 5]),
        (25, [9, 8, 8]),
        (99, [10] * 9 + [9]),
        (101, [11] + [10] * 9),
        (1_000_003, [100_001] * 3 + [100_000] * 7),
    ],
)
def test_each_ten_commands_have_a_wake_until_one_call_can_hold_no_more(desk, count, shares):
    assert desk.wake.ready({"q": Due(count=count)})

    assert len(desk.sqs.requests) == 1
    assert [body["count"] for _, body, _ in desk.sqs.sent] == shares
    assert sum(shares) == count


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (timedelta(microseconds=1), [1, 53]),
        (0.5 * SECOND, [1, 53]),
        (22.5 * SECOND, [23, 53]),
        (22.5 * SECOND + timedelta(microseconds=1), [23, 83]),
        (BY_MESSAGE - SECOND, [839, 893]),
        (BY_MESSAGE, [840, 893]),
    ],
)
def test_a_wake_that_is_due_within_minutes_is_sent_before_the_commit_with_its_echo(desk, delay, seconds):
    assert desk.wake.ahead({"q": Due(delay)})
    assert desk.wake.ready({"q": Due(delay)})

    assert (len(desk.sqs.requests), desk.sqs.delays) == (1, seconds)
    assert desk.scheduler.requests == []


@given(delay=st.timedeltas(timedelta(0), BY_MESSAGE), offset=st.timedeltas(timedelta(0), HOUR))
@settings(max_examples=50)
def test_no_delay_is_longer_than_sqs_keeps_a_message(one_desk, delay, offset):
    one_desk.sqs.forget()
    one_desk.now = START + offset

    assert one_desk.make().ahead({"q": Due(delay)})

    assert all(0 < seconds <= LONGEST_DELAY.total_seconds() for seconds in one_desk.sqs.delays)


@given(
    commits=st.lists(
        st.tuples(
            st.timedeltas(timedelta(0), 40 * SECOND),
            st.just(timedelta(0)) | st.timedeltas(timedelta(0), 2 * MINUTE) | st.timedeltas(timedelta(0), BY_MESSAGE),
        ),
        max_size=30,
    )
)
@settings(max_examples=50)
def test_whatever_is_shared_each_commit_has_a_wake_for_its_moment_and_an_echo(one_desk, commits):
    """Its own, or another's that comes half a minute before at most, but not within 25 s, when it may not be stored."""
    process, arrivals, wanted = one_desk.make(), [], []
    for gap, delay in commits:
        one_desk.now += gap
        one_desk.sqs.forget()
        assert process.ahead({"q": Due(delay)})
        arrivals += [one_desk.now + seconds * SECOND for seconds in one_desk.sqs.delays]
        moment = one_desk.now + delay
        echo = moment + timedelta(seconds=30 + -moment.timestamp() % 30)
        wanted += [(one_desk.now, each) for each in ([moment, echo] if delay else [echo])]

    for now, moment in wanted:
        earliest = min(moment, max(now + 25 * SECOND, moment - 30 * SECOND))
        assert any(earliest <= arrival < moment + 2 * SECOND for arrival in arrivals)


def test_nothing_that_is_due_later_rings_now(desk):
    assert desk.wake.ready({"q": Due(SECOND), "other": Due(HOUR)})

    assert (desk.sqs.requests, desk.scheduler.requests) == ([], [])


@pytest.mark.parametrize("delay", [BY_MESSAGE + timedelta(microseconds=1), HOUR, timedelta(days=400)])
def test_what_is_due_later_than_a_message_can_be_kept_back_has_an_alarm(desk, delay):
    alarms = Book(desk.scheduler)

    assert desk.make(alarms=alarms).ahead({"q": Due(delay)})

    assert alarms.booked == [bucket_of(desk.now + delay)]
    assert fires_at(alarms.booked[0]) > desk.now + 2 * MINUTE
    assert desk.sqs.requests == []


def test_where_a_tick_of_each_minute_finds_what_is_due_nothing_needs_an_alarm(desk):
    assert desk.make(alarms=None).ahead({"q": Due(HOUR)})

    assert desk.sqs.requests == []


def test_if_sqs_refuses_the_next_alarm_stands_in_and_nothing_is_taken_for_sent(desk):
    desk.sqs.refuse(times=1)

    assert desk.wake.ahead(READY)
    assert desk.scheduler.names == [f"{next_bucket(desk.now):%Y%m%dT%H%MZ}"]
    assert desk.wake.ahead(READY)

    assert desk.sqs.delays == [53, 53]
    assert len(desk.scheduler.requests) == 1


def test_if_sqs_refuses_one_of_two_the_next_alarm_stands_in(desk):
    desk.sqs.answer = lambda request: {  # noqa: ARG005
        "Successful": [],
        "Failed": [{"Id": "1", "SenderFault": False, "Code": "InternalError"}],
    }

    assert desk.wake.ahead({"q": Due(MINUTE)})
    assert len(desk.scheduler.requests) == 1


def test_a_bell_that_sqs_refuses_is_told(desk):
    desk.sqs.refuse()

    assert not desk.wake.ready(READY)
    # Its echo was on the way before the commit.
    assert desk.scheduler.requests == []


def test_if_the_scheduler_refuses_the_longest_delay_of_sqs_stands_in_and_is_shared(desk):
    desk.scheduler.refuse("ThrottlingException")

    assert desk.wake.ahead({"q": Due(HOUR)})
    desk.now += 10 * SECOND
    assert desk.wake.ahead({"q": Due(2 * HOUR)})
    assert desk.sqs.delays == [900]

    desk.now += 30 * SECOND
    assert desk.wake.ahead({"q": Due(2 * HOUR)})
    assert desk.sqs.delays == [900, 900]


@pytest.mark.parametrize("delay", [timedelta(0), MINUTE, HOUR])
def test_if_both_refuse_nothing_is_certain(desk, delay):
    desk.scheduler.refuse("ThrottlingException")
    desk.sqs.refuse()

    assert not desk.wake.ahead({"q": Due(delay)})
    assert not desk.wake.ahead({"q": Due(delay)}), "it is not taken for sent, either"
    assert not desk.wake.soon({"q": Due(delay)}, object())


def test_a_queue_that_takes_nothing_keeps_no_other_from_its_wakes(desk):
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["QueueUrl"] == "u":
            raise Refused("QueueDoesNotExist")
        return {}

    desk.sqs.answer = answer
    both = READY | {"other": Due()}
    alone = desk.make(alarms=None)

    assert [alone.ahead(both), alone.ready(both), alone.soon(both, object())] == [False] * 3
    assert [url for url, _, _ in desk.sqs.sent].count("v") == 1 + 1 + 2


@pytest.mark.parametrize("delay", [timedelta(0), MINUTE])
def test_a_queue_that_was_not_deployed_is_told_and_left_to_the_sweep(desk, caplog, delay):
    """To try again would not help."""
    due = {"unknown": Due(delay), "q": Due(delay)}

    assert desk.wake.ahead(due)
    assert desk.wake.ready(due)

    assert {url for url, _, _ in desk.sqs.sent} == {"u"}
    assert UNKNOWN in caplog.text


def test_what_a_caller_is_yet_to_commit_is_told_twice_a_moment_later_and_again(desk):
    assert desk.wake.soon({"q": Due(count=2), "other": Due(30 * SECOND)}, object())

    told = defaultdict(list)
    for _, body, seconds in desk.sqs.sent:
        told[body["queue"]].append(seconds)
    assert told == {"q": [2, 60], "other": [30, 60]}


@pytest.mark.parametrize("delay", [timedelta(0), 12 * MINUTE])
def test_what_a_caller_is_yet_to_commit_has_an_alarm_after_its_wakes_for_a_commit_that_comes_later(desk, delay):
    alarms = Book(desk.scheduler)

    assert desk.make(alarms=alarms).soon({"q": Due(delay)}, object())

    assert alarms.booked == [next_bucket(desk.now + delay + 10 * MINUTE)]
    assert fires_at(alarms.booked[0]) >= desk.now + delay + 11 * MINUTE


def test_what_a_caller_is_yet_to_commit_has_an_alarm_alone_if_it_is_due_later(desk):
    alarms = Book(desk.scheduler)

    assert desk.make(alarms=alarms).soon({"q": Due(HOUR)}, object())

    assert alarms.booked == [bucket_of(desk.now + HOUR)]
    assert desk.sqs.requests == []


def test_of_what_a_caller_is_yet_to_commit_one_of_wakes_and_alarm_is_enough(desk):
    desk.sqs.refuse()
    assert desk.wake.soon(READY, object())

    desk.begin()
    desk.scheduler.refuse()
    assert desk.wake.soon(READY, object())
