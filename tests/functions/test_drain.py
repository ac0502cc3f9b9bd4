"""The drain: what was accepted while the database was away is stored when it is back, and is never lost."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import errands
import pytest
from faulty import Faulty
from invocations import Queue, as_json, failed, sqs_event
from resuming import Resuming

from durex_core import Durex
from durex_core.aws.ingest import MAX_BYTES, IngestMessage, SqsIngest
from durex_core.aws.wake import SqsDeadLetters, SqsWake
from durex_core.clock import monotonic_seconds, utc_now
from durex_core.errors import CommandNotFound, DatabaseUnavailable, TooLargeToKeep
from durex_core.ids import new_id, new_ingested_id
from durex_core.model import Accepted, NewCommand, State
from durex_core.observer import Observer
from durex_core.serverless.drain import DrainFunction
from durex_core.store.database import open_database

EVENTS = Path(__file__).resolve().parents[2] / "events"
NOWHERE = "postgresql://durex:swordfish@127.0.0.1:1/durex"


@pytest.fixture
def ingest(make_queue: Callable[[], Queue], monkeypatch: pytest.MonkeyPatch) -> Queue:
    """The queue of what is accepted."""
    queue = make_queue()
    monkeypatch.setenv("DUREX_INGEST_URL", queue.url)
    return queue


@pytest.fixture
def asleep(app: Durex, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Resuming]:
    """The database of the errands, asleep, as the enqueue function sees it."""
    monkeypatch.setenv("DUREX_DATABASE_CONNECT_TIMEOUT_SECONDS", "2")
    with Resuming(postgres_url) as database:
        app.use_database(database.url)
        yield database


class Drain:
    """A drain function in this process, with real queues."""

    def __init__(self, make_queue: Callable[[], Queue]) -> None:
        self.wakes = make_queue()
        self.dead = make_queue()

    def __call__(self, url: str, *bodies: str, patience_seconds: float = 0) -> list[str]:
        """Drain messages; return the ids of those that are to come again."""
        with closing(open_database(url)) as database:
            drain = DrainFunction(
                database,
                SqsWake({errands.QUEUE: self.wakes.url}),
                observers=Observer(),
                reject=SqsDeadLetters(self.dead.url).reject,
                patience_seconds=patience_seconds,
            )
            return failed(drain.invoke(sqs_event(*bodies)))


@pytest.fixture
def drain(make_queue: Callable[[], Queue]) -> Drain:
    return Drain(make_queue)


def accepted(**options: Any) -> IngestMessage:
    defaults = {"id": new_ingested_id(), "name": "greet", "queue": errands.QUEUE, "payload": "ada"}
    return IngestMessage(NewCommand(**defaults | options), utc_now().replace(microsecond=1))


@pytest.mark.usefixtures("asleep")
def test_a_command_is_accepted_within_seconds_while_the_database_sleeps_and_runs_later(
    app: Durex, ingest: Queue, drain: Drain, postgres_url: str
):
    begun = monotonic_seconds()
    answer = app.enqueue_or_accept("greet", "ada", unique_key="k")
    assert monotonic_seconds() - begun < 5

    bodies = ingest.bodies()
    assert drain(postgres_url, *bodies) == []

    app.use_database(postgres_url)
    command = app.get(answer.id)
    assert isinstance(answer, Accepted)
    assert (command.name, command.payload, command.unique_key) == ("greet", "ada", "k")
    assert drain.wakes.depths() == [0]
    assert drain.wakes.count(delayed=True) == 1  # its echo


def test_what_may_be_stored_already_is_held_back(make_queue):
    queue = make_queue()
    doubtful = IngestMessage(accepted().command, utc_now(), tried=new_id())

    assert SqsIngest(queue.url).send(doubtful)

    assert (queue.count(), queue.count(delayed=True)) == (0, 1)


def test_a_message_may_be_as_long_as_sqs_takes_and_no_longer(make_queue):
    queue = make_queue()
    room = MAX_BYTES - len(accepted(payload="").encode())

    assert SqsIngest(queue.url).send(accepted(payload="x" * room))
    with pytest.raises(TooLargeToKeep) as refused:
        SqsIngest(queue.url).send(accepted(payload="x" * (room - 1) + "é"))

    assert refused.value.size == MAX_BYTES + 1
    assert [len(body.encode()) for body in queue.bodies()] == [MAX_BYTES]


def test_without_the_queue_nothing_is_accepted(app: Durex, ingest: Queue, monkeypatch: pytest.MonkeyPatch):
    app.use_database(NOWHERE)
    monkeypatch.setenv("DUREX_INGEST_URL", f"{ingest.url}-gone")

    with pytest.raises(DatabaseUnavailable, match="cannot connect"):
        app.enqueue_or_accept("greet", "ada")


def test_a_drain_that_finds_the_database_still_away_keeps_everything(drain: Drain, postgres_url: str, app: Durex):
    messages = [accepted(), accepted()]
    bodies = [message.encode() for message in messages]

    assert drain(NOWHERE, *bodies) == ["m0", "m1"]
    assert drain(postgres_url, *bodies) == []

    assert [app.get(message.command.id).payload for message in messages] == ["ada", "ada"]


def test_a_drain_waits_for_a_database_that_comes_back(drain: Drain, postgres_url: str, app: Durex):
    message = accepted()
    with Faulty(postgres_url) as database:
        database.break_at(1, is_heard=False)

        assert drain(database.url, message.encode(), patience_seconds=20) == []

    assert app.get(message.command.id).payload == "ada"


def test_what_no_durex_wrote_goes_to_the_dead_letters_and_keeps_nobody_back(
    drain: Drain, postgres_url: str, app: Durex
):
    message = accepted()

    assert drain(postgres_url, "nonsense", message.encode()) == []

    assert drain.dead.bodies() == ["nonsense"]
    assert app.get(message.command.id).name == "greet"


def test_what_the_dead_letter_queue_does_not_take_is_kept(drain: Drain, postgres_url: str):
    drain.dead.url += "-gone"

    assert drain(postgres_url, "nonsense") == ["m0"]


def test_malformed_messages_leave_even_while_the_database_is_away(drain: Drain):
    assert drain(NOWHERE, "nonsense", accepted().encode()) == ["m1"]


def test_a_message_of_a_later_version_is_kept(drain: Drain, postgres_url: str):
    assert drain(postgres_url, '{"v": 2}', accepted().encode()) == ["m0"]
    assert drain.dead.bodies() == []


def test_one_that_cannot_be_stored_is_kept_and_keeps_nobody_back(drain: Drain, postgres_url: str, app: Durex, stage):
    good, bad = [accepted() for _ in range(4)], accepted(name="refused")
    messages = [*good[:2], bad, *good[2:]]
    bodies = [message.encode() for message in messages]
    with stage.refusing("refused"):
        assert drain(postgres_url, *bodies) == ["m2"]
        assert [app.get(message.command.id).payload for message in good] == ["ada"] * 4
        with pytest.raises(CommandNotFound):
            app.get(bad.command.id)

    assert drain(postgres_url, *bodies) == []

    assert app.get(bad.command.id).name == "refused"
    assert stage.count("commands") == 5


def test_a_message_is_kept_until_its_wake_is_certain(drain: Drain, postgres_url: str, app: Durex, stage):
    message = accepted()
    url, drain.wakes.url = drain.wakes.url, f"{drain.wakes.url}-gone"
    assert drain(postgres_url, message.encode()) == ["m0"]
    drain.wakes.url = url

    assert drain(postgres_url, message.encode()) == []

    assert drain.wakes.depths() == [0]
    assert (stage.count("commands"), app.get(message.command.id).state) == (1, State.SCHEDULED)


def test_the_role_of_the_drain_suffices(drain: Drain, roles, app: Durex):
    first, loser = accepted(unique_key="k"), accepted(unique_key="k", idempotency_key="i")
    doubtful = IngestMessage(accepted().command, utc_now() - timedelta(hours=1), tried=first.command.id)
    bodies = [message.encode() for message in (first, loser, doubtful)]

    assert drain(roles.of("drain"), bodies[0]) == []
    assert drain(roles.of("drain"), *bodies) == []

    states = [app.get(message.command.id).state for message in (first, loser, doubtful)]
    assert states == [State.SCHEDULED, State.CANCELLED, State.CANCELLED]


def test_the_role_of_the_api_can_tell_what_is_accepted(roles, app: Durex, drain: Drain):
    message = accepted()
    app.use_database(roles.of("api"))

    assert app.look_up(message.command.id) == Accepted(message.command.id)

    drain(roles.of("drain"), message.encode())
    assert app.look_up(message.command.id) == app.get(message.command.id)


@pytest.mark.slow
def test_an_order_is_accepted_without_a_database_and_found_once_it_is_drained(function, make_queue, app, postgres_url):
    kept, wakes = make_queue(), make_queue()
    urls = json.dumps({"process_order": wakes.url})
    with Resuming(postgres_url) as asleep:
        enqueue = function(
            "enqueue",
            DUREX_DATABASE_URL=asleep.url,
            DUREX_DATABASE_CONNECT_TIMEOUT_SECONDS="2",
            DUREX_DATABASE_ANSWER_TIMEOUT_SECONDS="2",
            DUREX_INGEST_URL=kept.url,
            DUREX_WAKE_URLS=urls,
        )
        taken = enqueue.invoke(event("enqueue")).body
    assert (taken["statusCode"], as_json(taken)["state"]) == (202, "accepted")
    command_id = as_json(taken)["id"]
    assert app.look_up(command_id) == Accepted(UUID(command_id))

    drain = function("drain", DUREX_WAKE_URLS=urls)
    assert drain.invoke(sqs_event(*kept.bodies())).body == {"batchItemFailures": []}
    # The same order from elsewhere: it is placed by now.
    assert drain.invoke(event("ingest")).body == {"batchItemFailures": []}

    assert app.get(command_id).payload == {"id": "42", "amount": 999}
    again = app.get("019cd62c-c190-72a5-8001-56922de41a35")
    assert (again.state, again.error.type) == (State.CANCELLED, "Duplicate")
    assert command_id in again.error.message


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())
