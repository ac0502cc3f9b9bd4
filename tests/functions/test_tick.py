"""The tick: expired leases, due commands, wakes and pruning, once a minute."""

from datetime import timedelta

import errands
import pytest

from durex_core.errors import DatabaseUnavailable
from durex_core.model import RetentionPolicy, State
from durex_core.observer import Observer
from durex_core.serverless import tick as module
from durex_core.serverless.tick import tick
from durex_core.store.database import open_database


class Heard:
    """Hears which queues have work."""

    def __init__(self):
        self.due = {}

    def ready(self, due):
        self.due.update(due)


@pytest.fixture
def once(app):
    """Do one round; return what it says and whom it woke."""

    def run():
        heard = Heard()
        return tick(app.database, app.registry, heard, RetentionPolicy()), heard.due

    return run


def test_an_idle_deployment_wakes_nobody(once):
    assert once() == ({"rescued": 0, "begun": 0, "promoted": 0, "woken": [], "pruned": 0}, {})


def test_a_vanished_workers_commands_are_taken_back_and_their_queue_is_woken(once, app, stage):
    id_ = errands.greet.enqueue("ada").id
    stage.start_elsewhere(id_, lease_seconds=-1)
    stage.run("UPDATE commands SET started_at = now()")

    said, due = once()

    assert (said["rescued"], due) == (1, {errands.QUEUE: timedelta(0)})
    assert app.get(id_).state is State.PENDING


def test_what_is_due_is_promoted_and_what_will_be_gets_a_wake_in_time(once, app, stage):
    late = errands.greet.enqueue("ada", delay=timedelta(hours=1)).id
    stage.make_due()
    errands.carry.enqueue("parcel", delay=timedelta(seconds=60))

    said, due = once()

    assert (said["promoted"], app.get(late).state) == (1, State.PENDING)
    assert due[errands.QUEUE] == timedelta(0)
    assert timedelta(seconds=55) < due[errands.PARCELS] <= timedelta(seconds=60)


def test_what_is_due_after_the_next_tick_is_left_to_it(once):
    errands.greet.enqueue("ada", delay=timedelta(minutes=2))

    assert once()[1] == {}


@pytest.fixture
def patrolled(app):
    """The errands with a permanent command among them."""
    app.command("patrol", permanent=True, queue=errands.PARCELS)(lambda: None)
    yield app
    app.unregister("patrol")


def test_a_permanent_command_is_begun_once_and_again_when_it_has_ended(once, patrolled, stage):
    said, due = once()
    assert (said["begun"], due) == (1, {errands.PARCELS: timedelta(0)})
    assert once()[0]["begun"] == 0

    ((command_id,),) = stage.run("SELECT id FROM commands WHERE name = 'patrol'")
    patrolled.cancel(command_id)
    assert once()[0]["begun"] == 1


def test_whoever_observes_hears_of_a_permanent_command(patrolled):
    heard = []

    class Ear(Observer):
        def enqueued(self, commands):
            heard.extend(command.name for command in commands)

    tick(patrolled.database, patrolled.registry, Heard(), RetentionPolicy(), Ear())

    assert heard == ["patrol"]


def test_a_permanent_command_that_cannot_be_stored_keeps_nothing_else_from_being_done(once, patrolled, stage):
    id_ = patrolled.enqueue("greet", "ada").id
    stage.start_elsewhere(id_, lease_seconds=-1)

    with stage.refusing("patrol"):
        said, _ = once()

    assert (said["rescued"], said["begun"]) == (1, 0)


def test_old_keys_are_pruned(once, stage):
    errands.greet.enqueue("ada", idempotency_key="once")
    stage.run("UPDATE keys SET expires_at = now() - interval '1 day'")

    assert once()[0]["pruned"] == 1


def test_a_database_that_stays_away_fails_the_tick(app, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.1)
    away = open_database("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(DatabaseUnavailable):
        tick(away, app.registry, Heard(), RetentionPolicy())
