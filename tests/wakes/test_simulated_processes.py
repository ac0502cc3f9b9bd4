"""Simulated processes: killed, frozen and interrupted at their calls, one at a time and the same in every run."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from wakes.stories import storage

from durex_core.errors import DatabaseUnavailable
from durex_core.testing.cloud.connections import SimulatedDatabase
from durex_core.testing.cloud.errors import ConnectionLost, NoWaker
from durex_core.testing.cloud.faults import Fate, Faults, OneFault
from durex_core.testing.cloud.lives import Life, Process
from durex_core.testing.cloud.world import World

START = datetime(2026, 1, 1, tzinfo=UTC)


class Stage:
    """A world with a database, and what its processes did."""

    def __init__(self, faults: Faults | None = None) -> None:
        storage().wipe()
        self.world = World(START, faults or Faults())
        self.database = SimulatedDatabase(storage(), self.world)
        self.done: list[str] = []

    def start(self, code: Callable[[], object], *, life: Life | None = None, name: str = "p") -> Process:
        process = Process(name, f"home of {name}", life or Life())
        self.world.start(process, code)
        return process

    def do(self, what: str) -> None:
        self.world.call(f"aws:{what}", lambda: self.done.append(what))

    def book(self) -> None:
        with self.database.transaction() as connection:
            connection.run("alarms/book", bucket=START)

    @property
    def booked(self) -> int:
        return int(storage().read("SELECT count(*) FROM alarms")[0][0])

    def run(self, seconds: float = 10_000.0) -> None:
        self.world.run(self.world.timeline.seconds + seconds)


def in_turn(stage: Stage) -> None:
    for what in ("a", "b", "c"):
        stage.do(what)


@pytest.mark.parametrize(
    ("fate", "done"),
    [
        (Fate.PASSES, ["a", "b", "c"]),
        (Fate.REFUSED, ["a"]),
        (Fate.UNANSWERED, ["a", "b"]),
        (Fate.KILLED, ["a"]),
        (Fate.FROZEN, ["a", "b", "c"]),
    ],
)
def test_a_call_meets_its_fate(fate: Fate, done: list[str]):
    stage = Stage(OneFault(1, fate))
    process = stage.start(lambda: in_turn(stage))

    stage.run()

    assert stage.done == done
    assert isinstance(process.error, ConnectionLost) == (fate in (Fate.REFUSED, Fate.UNANSWERED))
    assert process.life.is_dead == (fate is Fate.KILLED)


def test_a_killed_process_has_no_effect_whatever_it_tries():
    stage = Stage(OneFault(0, Fate.KILLED))

    def code() -> None:
        try:
            stage.do("a")
        finally:
            stage.do("b")

    stage.start(code)
    stage.run()

    assert stage.done == []


def test_all_that_share_a_life_die_together():
    stage = Stage(OneFault(1, Fate.KILLED))
    life = Life()

    def sleeper() -> None:
        stage.do("a")
        stage.world.processes.sleep(5000)
        stage.do("never")

    stage.start(sleeper, life=life)
    stage.start(lambda: stage.do("neither"), life=life)
    stage.run(10)

    assert stage.done == ["a"]
    assert stage.world.processes.living == []


def test_a_deadline_ends_a_process_and_a_frozen_one_outlives_it():
    faults = Faults()
    faults.latency = 6.0
    stage = Stage(faults)
    stage.start(lambda: in_turn(stage), life=Life(deadline=10.0))
    stage.run()
    assert stage.done == ["a"]

    frozen = OneFault(1, Fate.FROZEN)
    frozen.latency = 1.0
    stage = Stage(frozen)
    stage.start(lambda: in_turn(stage), life=Life(deadline=10.0))
    stage.run()

    assert stage.done == ["a", "b", "c"]
    assert stage.world.faults.thaw_after > 10.0


@pytest.mark.parametrize(
    ("fate", "booked"),
    [(Fate.PASSES, 1), (Fate.REFUSED, 0), (Fate.UNANSWERED, 1), (Fate.KILLED, 0), (Fate.FROZEN, 1)],
)
def test_a_transaction_happens_or_does_not(fate: Fate, booked: int):
    stage = Stage(OneFault(0, fate))
    process = stage.start(stage.book)

    stage.run()

    assert stage.booked == booked
    assert isinstance(process.error, DatabaseUnavailable) == (fate in (Fate.REFUSED, Fate.UNANSWERED))


def test_a_kill_inside_of_a_transaction_rolls_it_back():
    stage = Stage(OneFault(1, Fate.KILLED))

    def code() -> None:
        with stage.database.transaction() as connection:
            connection.run("alarms/book", bucket=START)
            stage.do("a call of AWS in between")

    stage.start(code)
    stage.run()

    assert (stage.booked, stage.done) == (0, [])


def test_others_wait_for_a_transaction_and_nobody_sees_half_of_it():
    stage = Stage()
    seen: list[int] = []

    def slow() -> None:
        with stage.database.transaction() as connection:
            connection.run("alarms/book", bucket=START)
            stage.world.processes.sleep(50)
        stage.do("committed")

    def other() -> None:
        stage.world.processes.sleep(1)
        stage.book()
        seen.append(stage.booked)
        stage.do("booked too")

    stage.start(slow, name="slow")
    stage.start(other, name="other")
    stage.run(45)
    assert stage.done == []
    stage.run(20)

    assert stage.done == ["committed", "booked too"]
    assert seen == [1]


def test_a_database_that_is_away_answers_nobody():
    stage = Stage()
    stage.database.is_away = True
    process = stage.start(stage.book)

    stage.run()

    assert isinstance(process.error, DatabaseUnavailable)
    assert not process.error.is_in_doubt
    assert stage.database.connects == []


def test_connections_are_counted_by_machine_and_idle_minute():
    stage = Stage()

    def code() -> None:
        for pause in (1, 59, 61):
            stage.book()
            stage.world.processes.sleep(pause)
        stage.book()

    stage.start(code, name="one")
    stage.start(stage.book, name="two")
    stage.run()

    assert sorted((home, round(seconds)) for seconds, home in stage.database.connects) == [
        ("home of one", 0),
        ("home of one", 121),
        ("home of two", 0),
    ]


def test_what_a_checker_says_ends_the_simulation_with_the_last_steps():
    stage = Stage()
    stage.world.watch = lambda: "this is wrong" if "b" in stage.done else None
    stage.start(lambda: in_turn(stage))

    with pytest.raises(NoWaker, match="this is wrong") as raised:
        stage.run()

    assert stage.done == ["a", "b"]
    assert "aws:b" in str(raised.value)
    stage.world.processes.close()
