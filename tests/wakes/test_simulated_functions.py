"""The simulated Scheduler and Lambda: alarms that fire once, invocations that are retried, mappings that scale."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durex_core.testing.cloud.errors import ConflictException, ValidationException
from durex_core.testing.cloud.faults import Fate, Faults, OneFault
from durex_core.testing.cloud.functions import Ended, Function, Mapping
from durex_core.testing.cloud.queues import Message, Queue
from durex_core.testing.cloud.scheduler import SimulatedScheduler
from durex_core.testing.cloud.world import World

START = datetime(2026, 1, 1, tzinfo=UTC)
TARGET = {"Arn": "arn:tick", "RoleArn": "arn:role", "Input": "{}"}


class Called:
    """A function, and when it was called."""

    def __init__(self, faults: Faults | None = None, *, takes: float = 1.0, timeout: float = 10.0) -> None:
        self.world = World(START, faults or Faults())
        self.at: list[float] = []
        self.batches: list[list[str]] = []
        self.answer: Any = None
        self.fails = 0
        self.takes = takes
        self.function = Function(self.world, "f", timeout, lambda: self.handle)

    def handle(self, event: Any, _context: object) -> Any:
        self.at.append(round(self.world.timeline.seconds, 3))
        if isinstance(event, dict):
            self.batches.append([record["messageId"] for record in event["Records"]])
        self.world.processes.sleep(self.takes)
        if len(self.at) <= self.fails:
            raise RuntimeError("not yet")
        return self.answer

    def run(self, seconds: float) -> None:
        self.world.run(self.world.timeline.seconds + seconds)

    def mapped(self, count: int, **options: Any) -> Queue:
        queue = Queue("q", visibility=100.0)
        Mapping(self.world, queue, self.function, **options)
        for number in range(count):
            queue.put(Message(f"m{number}", "x", 0.0, 0.0, number), 0.0)
        return queue


def scheduler(called: Called) -> SimulatedScheduler:
    made = SimulatedScheduler(called.world.timeline, called.world.faults, called.world.call)
    made.targets["arn:tick"] = called.function.invoke_later
    return made


def schedule(
    made: SimulatedScheduler, name: str = "alarm", at: str = "at(2026-01-01T00:10:00)", **options: Any
) -> None:
    window = {"Mode": "OFF"}
    given = {"ActionAfterCompletion": "DELETE", "Target": TARGET, "FlexibleTimeWindow": window, **options}
    made.create_schedule(Name=name, ScheduleExpression=at, **given)


def test_an_alarm_fires_at_its_time_and_is_gone():
    called = Called()
    made = scheduler(called)
    schedule(made)
    called.run(599)
    assert (called.at, len(made.schedules)) == ([], 1)

    called.run(3)

    assert (called.at, len(made.schedules)) == ([600.01], 0)
    schedule(made, at="at(2026-01-01T01:00:00)")


def test_a_second_alarm_of_a_name_conflicts_while_the_first_is_to_fire():
    made = scheduler(Called())
    schedule(made)

    with pytest.raises(ConflictException) as raised:
        schedule(made)

    assert type(raised.value).__name__ == raised.value.response["Error"]["Code"] == "ConflictException"


def test_a_deleted_alarm_does_not_fire():
    called = Called()
    made = scheduler(called)
    schedule(made)

    made.delete_schedule(Name="alarm")
    called.run(1000)

    assert called.at == []


def test_an_alarm_in_the_past_never_fires():
    called = Called()
    called.run(1000)
    schedule(scheduler(called))

    called.run(100_000)

    assert called.at == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "rate(5 minutes)"},
        {"at": "at(2026-01-01 00:10)"},
        {"name": "no name"},
        {"ActionAfterCompletion": "NONE"},
        {"ScheduleExpressionTimezone": "Europe/Berlin"},
        {"Target": {"Arn": "arn:tick"}},
        {"Target": TARGET | {"Arn": "arn:unknown"}},
    ],
    ids=str,
)
def test_what_the_scheduler_cannot_do_is_refused(wrong: dict[str, Any]):
    with pytest.raises(ValidationException):
        schedule(scheduler(Called()), **wrong)


def test_an_asynchronous_invocation_is_tried_three_times_a_minute_and_two_apart():
    called = Called(takes=0.5)
    called.fails = 9

    called.function.invoke_later({"Records": []})
    called.run(1000)

    assert called.at == [0.01, 60.51, 181.01]
    assert called.function.pending == 0


def test_one_that_succeeds_is_not_tried_again():
    called = Called(takes=0.5)
    called.fails = 1

    called.function.invoke_later({"Records": []})
    called.run(1000)

    assert len(called.at) == 2


def test_an_invocation_is_ended_at_its_timeout():
    called = Called(takes=60.0, timeout=10.0)
    ends: list[tuple[float, Ended]] = []

    called.function.invoke({"Records": []}, lambda ended: ends.append((called.world.timeline.seconds, ended)))
    called.run(100)

    assert [(round(seconds), ended.is_failed) for seconds, ended in ends] == [(10, True)]


def test_a_killed_environment_serves_no_more():
    called = Called(OneFault(0, Fate.KILLED))
    queue = called.mapped(1)

    called.run(50)
    assert (called.function.running, queue.in_flight(50.0)) == (0, 1)
    called.run(100)

    assert called.at == [0.01, 100.02]
    assert not queue.live


def test_a_batch_that_succeeds_is_deleted():
    called = Called()
    queue = called.mapped(25)

    called.run(5)

    assert sorted(map(len, called.batches)) == [5, 10, 10]
    assert not queue.live


@pytest.mark.parametrize(
    ("failures", "again"),
    [
        ([], []),
        (["m1"], ["m1"]),
        (["m1", "unknown"], ["m0", "m1", "m2"]),
        ([""], ["m0", "m1", "m2"]),
    ],
)
def test_messages_that_are_reported_come_again_and_all_of_them_if_one_is_unknown(failures: list[str], again: list[str]):
    called = Called()
    called.answer = {"batchItemFailures": [{"itemIdentifier": each} for each in failures]}
    queue = called.mapped(3)

    called.run(10)

    assert sorted(message.id for message in queue.live.values()) == again


def test_a_mapping_begins_with_five_and_adds_three_hundred_in_a_minute():
    called = Called(takes=500.0, timeout=900.0)
    called.mapped(1000, batch_size=1)
    running = []
    for _ in range(3):
        called.run(6)
        running.append(called.function.running)

    assert running == [pytest.approx(5 + 30 * part, abs=2) for part in (1, 2, 3)]


def test_a_mapping_goes_up_to_its_maximum():
    called = Called(takes=500.0, timeout=900.0)
    called.mapped(1000, batch_size=1, maximum=7)

    called.run(60)

    assert called.function.running == called.function.most_running == 7
    assert called.world.now == START + timedelta(seconds=60)
