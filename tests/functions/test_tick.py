"""The tick: what time brings about, each minute, at an alarm, or every few hours."""

from datetime import timedelta

import errands
import pytest
from invocations import Recorder

from durex_core.errors import DatabaseUnavailable
from durex_core.model import RetentionPolicy, State
from durex_core.observer import Observer
from durex_core.rules.wakes import Due
from durex_core.serverless import tick as module
from durex_core.serverless.tick import WakesRefused, tick
from durex_core.store import alarms
from durex_core.store.database import open_database

POLICY = RetentionPolicy()
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def once(app):
    """Do one round; return what it says and whom it woke, now or at a later time."""

    def run():
        heard = Recorder()
        said = tick(app.database, app.registry, heard, POLICY)
        # What is known before a commit of the tick's own is known after it, too.
        assert set(heard.promised) >= set(heard.rung)
        return said, dict(heard.rung)

    return run


def test_an_idle_deployment_wakes_nobody(once):
    assert once() == ({"rescued": 0, "begun": 0, "promoted": 0, "due": {}, "pruned": 0}, {})


def test_a_vanished_workers_commands_are_taken_back_and_their_queue_is_woken(once, app, stage):
    id_ = errands.greet.enqueue("ada").id
    stage.start_elsewhere(id_, lease_seconds=-1)
    stage.run("UPDATE commands SET started_at = now()")

    said, due = once()

    assert (said["rescued"], due) == (1, {errands.QUEUE: Due()})
    assert app.get(id_).state is State.PENDING


def test_what_is_due_is_promoted_and_what_will_be_is_seen_to_however_late_it_is(once, app, stage):
    late = errands.greet.enqueue("ada", delay=HOUR).id
    stage.make_due()
    errands.greet.enqueue("grace", delay=HOUR)
    errands.carry.enqueue("parcel", delay=timedelta(days=3))

    said, due = once()

    assert (said["promoted"], app.get(late).state) == (1, State.PENDING)
    assert said["due"] == {errands.QUEUE: 0, errands.PARCELS: 3 * 24 * 3600}
    assert due[errands.QUEUE] == Due()
    assert timedelta(days=3) - 5 * SECOND < due[errands.PARCELS].delay <= timedelta(days=3)


def test_alarms_that_have_fired_are_forgotten(once, app, stage):
    with app.database.autocommit() as connection:
        ((begun, coming),) = stage.run("SELECT now() - interval '1 second', now() + interval '1 minute'")
        for bucket in (begun, coming):
            alarms.book(connection, bucket)

        once()

        assert [alarms.is_booked(connection, bucket) for bucket in (begun, coming)] == [False, True]


@pytest.mark.parametrize(("promises", "rings"), [(False, True), (True, False)])
def test_if_wakes_are_refused_all_else_is_done_and_the_tick_is_to_be_called_again(app, stage, promises, rings):
    id_ = errands.greet.enqueue("ada").id
    errands.carry.enqueue("parcel", delay=HOUR)
    errands.greet.enqueue("grace", idempotency_key="once")
    stage.start_elsewhere(id_, lease_seconds=-1)
    stage.run("UPDATE keys SET expires_at = now() - interval '1 day'")
    refusing = Recorder(promises=promises, rings=rings)

    with pytest.raises(WakesRefused, match="errands, parcels"):
        tick(app.database, app.registry, refusing, POLICY)

    assert app.get(id_).state is State.PENDING
    assert (stage.count("keys"), stage.count("handlers") > 0) == (0, True)
    # Both were tried.
    assert len(refusing.promised) == len(refusing.rung) == 2


@pytest.fixture
def patrolled(app):
    """The errands with a permanent command among them."""
    app.command("patrol", permanent=True, queue=errands.PARCELS)(lambda: None)
    yield app
    app.unregister("patrol")


def test_a_permanent_command_is_begun_once_and_again_when_it_has_ended(once, patrolled, stage):
    said, due = once()
    assert (said["begun"], due) == (1, {errands.PARCELS: Due()})
    assert once()[0]["begun"] == 0

    ((command_id,),) = stage.run("SELECT id FROM commands WHERE name = 'patrol'")
    patrolled.cancel(command_id)
    assert once()[0]["begun"] == 1


@pytest.mark.usefixtures("patrolled")
def test_a_permanent_command_that_lives_is_let_alone_and_wakes_nobody(app, once, stage):
    once()
    ((command_id,),) = stage.run("SELECT id FROM commands WHERE name = 'patrol'")
    stage.start_elsewhere(command_id, lease_seconds=600)

    heard = Recorder()
    said = tick(app.database, app.registry, heard, POLICY)

    assert (said["begun"], said["due"]) == (0, {})
    assert (heard.promised, heard.rung) == ([], [])
    assert stage.count("commands") == 1


def test_whoever_observes_hears_of_a_permanent_command(patrolled):
    heard = []

    class Ear(Observer):
        def enqueued(self, commands):
            heard.extend(command.name for command in commands)

    tick(patrolled.database, patrolled.registry, Recorder(), POLICY, Ear())

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


def test_a_database_that_stays_away_fails_the_tick_and_every_queue_is_woken(app, monkeypatch):
    """Those wakes are delivered again and again until it is back."""
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.1)
    away, heard = open_database("postgresql://nobody@127.0.0.1:1/nothing"), Recorder()

    with pytest.raises(DatabaseUnavailable):
        tick(away, app.registry, heard, POLICY)

    assert dict(heard.rung) == {errands.QUEUE: Due(), errands.PARCELS: Due()}
