"""Ingest: what is enqueued while the database is away is kept, and stored once, under its id, when it is back."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest
from factories import new_command
from faulty import Faulty
from keeper import Keeper
from racing import ChangedItsMind, Stage, at_once
from virtual_store import VirtualStore, query, schema_of

from durex_core import Durex, Spec
from durex_core.aws.ingest import MAX_BYTES, IngestMessage, MalformedMessage, NewerMessage
from durex_core.backoff import Constant
from durex_core.clock import utc_now
from durex_core.errors import CommandNotFound, DatabaseUnavailable, InvalidPayload, NotAllowed, TooLargeToKeep
from durex_core.ids import is_ingested, new_id, new_ingested_id
from durex_core.model import Accepted, Command, Enqueued, State
from durex_core.observer import Observer
from durex_core.operations import ingest
from durex_core.rules.outcomes import Returned
from durex_core.rules.wakes import Due
from durex_core.store import keys
from durex_core.store.database import Database, open_database

HOUR = timedelta(hours=1)
NOWHERE = "postgresql://durex:swordfish@127.0.0.1:1/durex"


class Wakes:
    """Hears what is told of queues, and how many commands there were then."""

    def __init__(self, store: VirtualStore) -> None:
        self.store = store
        self.heard: list[tuple[str, dict[str, Due], int]] = []
        self.is_certain = True

    def ahead(self, due: dict[str, Due]) -> bool:
        self._hear("ahead", due)
        return self.is_certain

    def ready(self, due: dict[str, Due]) -> bool:
        self._hear("ready", due)
        return True

    def soon(self, due: dict[str, Due], connection: object) -> bool:
        raise AssertionError((due, connection))

    def _hear(self, when: str, due: dict[str, Due]) -> None:
        self.heard.append((when, due, self.store.count("commands")))


class Ear(Observer):
    """Hears of new commands."""

    def __init__(self) -> None:
        self.enqueued_ids: list[UUID] = []

    def enqueued(self, commands: Any) -> None:
        self.enqueued_ids += [command.id for command in commands]


class Drain:
    """Drains messages into a store."""

    def __init__(self, store: VirtualStore) -> None:
        self.store = store
        store.now = utc_now()  # the drain runs on the database's own time
        self.wakes = Wakes(store)
        self.ear = Ear()

    def __call__(self, *messages: IngestMessage) -> bool:
        return ingest.drain(self.store.database, self.wakes, messages, observers=self.ear)


@pytest.fixture
def drain(store: VirtualStore) -> Drain:
    return Drain(store)


def made(url: str) -> Durex:
    app = Durex(url)

    @app.command(
        "pack", queue="lane", retries=3, backoff=Constant(timedelta(seconds=5)), deadline=HOUR, metadata={"a": 1}
    )
    def pack(payload: dict[str, Any]) -> None: ...

    @app.command("plain")
    def plain(payload: Any) -> None: ...

    return app


@pytest.fixture
def app(database_url: str) -> Iterator[Durex]:
    """An application with a rich command."""
    with closing(made(database_url)) as app:
        yield app


@pytest.fixture
def lost() -> Durex:
    """The application, its database gone."""
    return made(NOWHERE)


def accepted(*, ago: timedelta = timedelta(0), tried: UUID | None = None, **options: Any) -> IngestMessage:
    return IngestMessage(new_command(**{"id": new_ingested_id()} | options), utc_now() - ago, tried)


def accept(app: Durex, keeper: Any, spec: Spec) -> Enqueued | Accepted:
    return ingest.enqueue_or_accept(
        app.database, app.registry, app.wake, keeper, spec, observers=app.surroundings.observers
    )


def forget_finished(store: VirtualStore) -> None:
    """Drop what is finished, as happens when its time is over."""
    with store.database.transaction() as connection:
        query(connection, f"DELETE FROM {schema_of(connection)}finished_commands")


def named(command: Command) -> UUID:
    """Return the id of the command that a duplicate names."""
    assert command.state is State.CANCELLED
    assert command.error is not None
    assert command.error.type == "Duplicate"
    reason, _, rest = command.error.message.partition(": command ")
    assert reason == "duplicate"
    return UUID(rest.partition(" ")[0])


def compared(command: Command) -> dict[str, Any]:
    """Return what two commands of the same spec share; times as distances from when it was due."""
    own = {"id", "created_at", "ready_at", "deadline_at", "expires_at", "state"}
    told = {field.name: getattr(command, field.name) for field in fields(command) if field.name not in own}
    for name in ("deadline_at", "expires_at"):
        moment = getattr(command, name)
        told[name] = moment and round((moment - command.ready_at).total_seconds(), 3)
    return told


# Acceptance


def test_while_the_database_is_there_a_command_is_enqueued(app: Durex):
    keeper = Keeper()

    answer = accept(app, keeper, Spec("plain"))

    assert isinstance(answer, Enqueued)
    assert not is_ingested(answer.id)
    assert (app.get(answer.id).name, keeper.bodies) == ("plain", [])


def test_without_a_database_a_command_is_kept_under_a_marked_id(lost: Durex):
    keeper = Keeper()

    answer = accept(lost, keeper, Spec("pack", {"size": 1}))

    (message,) = keeper.messages
    assert answer == Accepted(message.command.id)
    assert is_ingested(answer.id)
    assert utc_now() - timedelta(minutes=1) < message.accepted_at <= utc_now()
    assert message.tried is None  # nothing was asked of the database
    command = message.command
    assert (command.name, command.queue, command.payload, command.retries) == ("pack", "lane", {"size": 1}, 3)
    assert (command.extras.deadline, command.extras.metadata) == (HOUR, {"a": 1})


def test_what_is_refused_is_refused_without_a_database_too(lost: Durex):
    keeper = Keeper()

    with pytest.raises(InvalidPayload):
        accept(lost, keeper, Spec("pack", "no object"))

    assert keeper.bodies == []


@pytest.mark.parametrize("keeper", [None, Keeper(works=False)], ids=["nobody keeps any", "it is not kept"])
def test_what_nobody_keeps_is_not_accepted(lost: Durex, keeper: Keeper | None):
    with pytest.raises(DatabaseUnavailable, match="cannot connect"):
        accept(lost, keeper, Spec("plain"))


def test_what_is_too_large_to_keep_is_not_accepted(lost: Durex):
    keeper = Keeper()

    # With what stands around the payload it is too much, though the payload alone is not.
    with pytest.raises(TooLargeToKeep, match=f"at most {MAX_BYTES:,} can be kept") as raised:
        accept(lost, keeper, Spec("plain", "é" * (MAX_BYTES // 2 - 100)))

    assert raised.value.size > MAX_BYTES
    assert keeper.bodies == []


def test_a_database_that_is_busy_for_long_keeps_nobody_waiting(postgres_url: str):
    keeper = Keeper()
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-c%20lock_timeout%3D20ms"
    with closing(made(url)) as app, psycopg.connect(postgres_url) as holder:
        holder.execute("LOCK TABLE durex.commands")

        answer = accept(app, keeper, Spec("plain"))

    assert answer == Accepted(keeper.messages[0].command.id)
    assert keeper.messages[0].tried is None  # the database said that it stored nothing


@pytest.fixture
def faulty(postgres_url: str) -> Iterator[Faulty]:
    """A Postgres whose connection fails."""
    with Faulty(postgres_url) as faulty:
        yield faulty


@pytest.fixture
def hasty(faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> Iterator[Durex]:
    """The application on that Postgres, connected; it waits half a second for an answer."""
    monkeypatch.setenv("DUREX_DATABASE_ANSWER_TIMEOUT_SECONDS", "0.5")
    with closing(made(faulty.url)) as app:
        app.enqueue("plain")
        yield app


def test_a_server_that_falls_silent_is_given_up_and_the_command_is_kept_in_doubt(hasty: Durex, faulty: Faulty):
    keeper = Keeper()
    faulty.silent.set()
    begun = utc_now()

    answer = accept(hasty, keeper, Spec("plain"))

    assert utc_now() - begun < timedelta(seconds=3)
    (message,) = keeper.messages
    assert answer == Accepted(message.command.id)
    assert message.tried is not None
    assert not is_ingested(message.tried)


def test_a_command_that_was_stored_all_the_same_is_not_stored_twice(hasty: Durex, faulty: Faulty):
    keeper = Keeper()
    faulty.loses_answer_to = b"once"
    answer = accept(hasty, keeper, Spec("plain", "once"))
    faulty.heal()

    ingest.drain(hasty.database, hasty.wake, keeper.messages, observers=Ear())

    (message,) = keeper.messages
    assert message.tried is not None
    assert named(hasty.get(answer.id)) == message.tried
    assert hasty.get(message.tried).payload == "once"
    assert len(hasty.find(name="plain", state=[State.PENDING, State.SCHEDULED]).commands) == 2  # and the first


# Messages


@pytest.mark.parametrize(
    "payload",
    [
        None,
        -0.0,
        1e308,
        12345678901234567890123,
        {"a": [1, {"b": None}], "": True},
        "\uffff \ufffe \\\uffff \x01 \u2028 é 😀",
        [[[[]]]],
    ],
)
def test_a_command_comes_out_of_its_message_as_it_went_in(payload: Any):
    message = accepted(
        payload=payload,
        delay=timedelta(days=3000, microseconds=1),
        deadline_at=datetime(2030, 1, 1, 12, 30, 0, 5, UTC),
        timeout=timedelta(seconds=1.5),
        backoff={"kind": "constant", "delay": 1.5},
        tags=("a", "ä"),
        parent_id=new_id(),
        unique_key="k",
        tried=new_id(),
    )

    body = message.encode()

    read = IngestMessage.decode(body)
    assert read == message
    assert repr(read.command.payload) == repr(payload)
    assert not {"\ufffe", "\uffff"} & set(body)


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        "[1]",
        '"text"',
        "{}",
        '{"v": 1}',
        '{"v": true, "command": {}}',
        '{"v": 0}',
        '{"v": 1, "accepted_at": "2026-01-01T00:00:00Z", "command": {"name": "n"}}',
        '{"v": 1, "accepted_at": "2026-01-01T00:00:00", "command": COMMAND}',
        '{"v": 1, "accepted_at": "2026-01-01T00:00:00Z", "command": COMMAND, "tried": "x"}',
        '{"v": 1, "accepted_at": "2026-01-01T00:00:00Z", "command": {"payload": NaN, COMMAND}}',
        '{"v": 1, "accepted_at": "2026-01-01T00:00:00Z", "command": {"payload": "\\u0000", COMMAND}}',
        '{"v": 1, "accepted_at": "2026-01-01T00:00:00Z", "command": {"payload": "\\ud800", COMMAND}}',
        "[" * 100_000,
        "1" * 10_000,
    ],
)
def test_what_no_durex_wrote_is_malformed(body: str):
    rest = f'"id": "{new_ingested_id()}", "name": "n", "queue": "n"'
    text = body.replace("{COMMAND", f"{{{rest}").replace(", COMMAND}", f", {rest}}}")
    text = text.replace("COMMAND", f'{{{rest}, "payload": null}}')

    with pytest.raises(MalformedMessage):
        IngestMessage.decode(text)


def test_what_a_later_durex_wrote_is_left_to_it():
    with pytest.raises(NewerMessage):
        IngestMessage.decode('{"v": 2, "something": "else"}')


# The drain


def test_a_drained_command_is_what_enqueue_would_have_stored(app: Durex):
    spec = Spec(
        "pack",
        {"size": 2},
        delay=HOUR,
        priority=4,
        tags=("t",),
        start_within=HOUR,
        period=HOUR,
        timeout=timedelta(seconds=5),
        correlation_id="c",
        metadata={"b": [1.5]},
        dead_letter=False,
    )
    keeper = Keeper()
    url = app.database_url
    stored = app.enqueue(spec)
    app.use_database(NOWHERE)
    answer = accept(app, keeper, spec)
    plain = accept(app, keeper, Spec("plain"))
    app.use_database(url)

    assert ingest.drain(app.database, app.wake, keeper.messages, observers=Ear())

    assert compared(app.get(answer.id)) == compared(app.get(stored.id))
    assert compared(app.get(plain.id)) == compared(app.get(app.enqueue("plain").id))


def test_a_delay_counts_from_the_acceptance_and_so_does_a_deadline(drain: Drain):
    message = accepted(ago=HOUR, delay=2 * HOUR, deadline_at=None)
    within = replace(message.command.extras, deadline=HOUR, start_within=timedelta(minutes=1))
    message = replace(message, command=replace(message.command, extras=within))

    drain(message)

    command = drain.store.get(message.command.id)
    due_at = message.accepted_at + 2 * HOUR
    assert command.state is State.SCHEDULED
    assert (command.ready_at, command.deadline_at) == (due_at, due_at + HOUR)
    assert command.expires_at == due_at + timedelta(minutes=1)


def test_a_moment_to_run_at_stays_as_it_is(drain: Drain):
    run_at = datetime(2030, 1, 1, tzinfo=UTC)
    message = accepted(run_at=run_at)

    drain(message)

    assert drain.store.get(message.command.id).ready_at == run_at


def test_what_would_have_been_due_can_be_claimed_at_once(drain: Drain):
    message = accepted(ago=HOUR, delay=timedelta(minutes=30))

    drain(message)

    drain.store.now = utc_now()
    assert drain.store.claim_one().id == message.command.id


def test_whoever_observes_hears_of_what_is_stored_and_once(drain: Drain):
    first, second = accepted(unique_key="k"), accepted(unique_key="k")

    drain(first, second)
    drain(first, second)

    assert drain.ear.enqueued_ids == [first.command.id]


def test_queues_are_promised_a_look_before_the_commit_and_woken_after_it(drain: Drain):
    now, late = accepted(queue="now"), accepted(queue="late", delay=HOUR)
    also = accepted(queue="now")

    assert drain(now, late, also)

    (ahead, told_ahead, before), (ready, told_ready, after) = drain.wakes.heard
    assert (ahead, before, ready, after) == ("ahead", 0, "ready", 3)
    assert told_ahead["now"] == told_ready["now"] == Due(timedelta(0), 2)
    assert timedelta(minutes=59) < told_ahead["late"].delay <= HOUR


def test_a_message_is_done_only_if_its_queue_is_certain_to_be_looked_at(drain: Drain):
    message = accepted()
    drain.wakes.is_certain = False
    assert not drain(message)
    drain.wakes.is_certain = True

    assert drain(message)

    assert [when for when, _, _ in drain.wakes.heard] == ["ahead", "ready"] * 2
    assert drain.store.count("commands") == 1


@pytest.mark.parametrize("key", [{"idempotency_key": "k"}, {"unique_key": "k"}], ids=["idempotency", "unique"])
def test_a_command_that_loses_on_a_key_ends_as_a_duplicate_that_names_the_other(drain: Drain, key: dict[str, str]):
    holder = drain.store.add(**key, payload="first")
    message = accepted(**key, payload="second", tags=("t",), delay=HOUR)

    assert drain(message)

    command = drain.store.get(message.command.id)
    assert named(command) == holder
    assert (command.payload, command.tags, command.attempt) == ("second", ("t",), 0)
    assert command.finished_at is not None
    assert drain.store.get(holder).payload == "first"


def test_a_duplicate_cannot_be_retried(drain: Drain, app: Durex):
    holder = drain.store.add(unique_key="k")
    message = accepted(unique_key="k")
    drain(message)
    app.cancel(holder)

    with pytest.raises(NotAllowed, match=f"may not run beside .* command {holder} "):
        app.retry(message.command.id)

    assert app.retry(holder).id == holder


def test_of_two_with_the_same_key_the_one_that_was_accepted_first_wins(drain: Drain):
    first, second = accepted(idempotency_key="k"), accepted(idempotency_key="k")

    drain(second, first)

    assert drain.store.get(first.command.id).state is State.SCHEDULED
    assert named(drain.store.get(second.command.id)) == first.command.id


@pytest.mark.parametrize("is_finished", [False, True])
def test_what_was_stored_by_the_first_attempt_is_not_stored_again(drain: Drain, is_finished: bool):
    stored = drain.store.start(payload="once")
    if is_finished:
        drain.store.settle(stored, Returned("done"))
    message, other = accepted(tried=stored.id, payload="once"), accepted(tried=new_id())

    drain(message, other)

    assert named(drain.store.get(message.command.id)) == stored.id
    assert drain.store.get(other.command.id).state is State.SCHEDULED


def test_a_message_that_comes_again_changes_nothing(drain: Drain):
    messages = [accepted(), accepted(idempotency_key="k"), accepted(unique_key="u"), accepted(unique_key="u")]
    drain(*messages)
    before = drain.store.rows()

    drain(messages[0], messages[0])
    assert drain(*messages)

    assert drain.store.rows() == before


def test_a_message_that_comes_twice_at_once_is_stored_once(drain: Drain):
    message = accepted()

    drain(message, replace(message))

    assert drain.store.count("commands") == 1


def test_a_message_that_comes_again_after_its_command_has_ended_or_is_gone_starts_nothing(drain: Drain):
    message = accepted()
    drain(message)
    drain.store.now = utc_now()
    drain.store.settle(drain.store.claim_one(), Returned())
    assert drain(message)
    assert drain.store.get(message.command.id).state is State.COMPLETED
    forget_finished(drain.store)

    assert drain(message)

    assert (drain.store.count("commands"), drain.store.count("finished_commands")) == (0, 0)


def test_a_key_that_was_not_pruned_in_time_is_still_taken(drain: Drain):
    message = accepted()
    drain.store.database.transact(lambda c: keys.take_once(c, [message.command.id], now=utc_now() - 100 * 24 * HOUR))

    drain(message)

    assert drain.store.count("commands") == 0


def test_wherever_the_connection_breaks_a_message_is_stored_once(faulty: Faulty, postgres_url: str):
    """The drain is cut off at each of its messages to the server, heard or not, and then done again."""
    places = 0
    with closing(open_database(faulty.url)) as broken, closing(open_database(postgres_url)) as sound:
        drain, retry = Drain(VirtualStore(broken)), Drain(VirtualStore(sound))
        drain.wakes.store = retry.store
        for number in range(1, 30):
            for is_heard in (False, True):
                holder = retry.store.add(unique_key=f"{number} {is_heard}")
                message, loser = accepted(tried=new_id()), accepted(unique_key=f"{number} {is_heard}")
                broken.close()
                faulty.break_at(number, is_heard=is_heard)
                is_broken = not _is_drained(drain, message, loser)
                faulty.heal()
                places += is_broken

                retry(message, loser)

                store = retry.store
                assert store.get(message.command.id).state is State.SCHEDULED
                assert named(store.get(loser.command.id)) == holder
                assert len(store.runs(message.command.id)) == len(store.runs(loser.command.id)) == 1
                store.clear()
            if not is_broken:
                break
    assert places > 10


def _is_drained(drain: Drain, *messages: IngestMessage) -> bool:
    try:
        return drain(*messages)
    except DatabaseUnavailable:
        return False


@pytest.fixture
def stage(postgres_url: str) -> Iterator[Stage]:
    """A Postgres to stage a race on."""
    with closing(Stage(postgres_url)) as stage:
        yield stage


@pytest.mark.parametrize("is_rolled_back", [False, True])
def test_a_second_drain_of_a_message_waits_for_the_first_and_leaves_it_what_it_stored(
    stage: Stage, is_rolled_back: bool
):
    drain, message = Drain(stage.store), accepted()
    new = ingest._as_accepted(message)
    with stage.held_open() as connection:
        assert ingest._store(connection, [new], {new.id: message}) == [new]
        second = stage.runs_into_it(lambda: drain(message))
        if is_rolled_back:
            raise ChangedItsMind

    assert second.result(30)
    assert drain.ear.enqueued_ids == ([new.id] if is_rolled_back else [])
    assert len(stage.store.runs(new.id)) == 1


def test_drains_that_race_on_the_same_messages_store_each_once(stage: Stage):
    messages = [accepted(unique_key=f"key {number // 2}") for number in range(20)]
    drains = [Drain(stage.store) for _ in range(4)]

    def shuffled(position: int) -> bool:
        return drains[position](*Random(position).sample(messages, 15))

    assert all(at_once(4, shuffled))
    assert drains[0](*messages)

    states = Counter(stage.store.get(message.command.id).state for message in messages)
    assert states == {State.SCHEDULED: 10, State.CANCELLED: 10}
    assert sorted(heard for drain in drains for heard in drain.ear.enqueued_ids) == sorted(
        message.command.id for message in messages if stage.store.get(message.command.id).state is State.SCHEDULED
    )


# Looking up


def test_an_accepted_command_is_told_from_one_that_was_never_there(database: Database, drain: Drain):
    message = accepted()
    waiting, never = message.command.id, new_id()

    assert ingest.look_up(database, waiting) == Accepted(waiting)
    with pytest.raises(CommandNotFound):
        ingest.look_up(database, never)
    drain(message)
    assert ingest.look_up(database, waiting) == drain.store.get(waiting)


def test_what_was_stored_and_pruned_is_accepted_no_more(database: Database, drain: Drain):
    message = accepted(unique_key="k")
    drain.store.add(unique_key="k")
    drain(message)
    forget_finished(drain.store)

    with pytest.raises(CommandNotFound, match="pruned after their retention"):
        ingest.look_up(database, message.command.id)


@pytest.mark.parametrize("bits", [0, 1 << 127, (1 << 128) - 1])
def test_an_id_of_no_time_near_is_of_no_accepted_command(database: Database, bits: int):
    marked = UUID(int=bits & ~(0xF << 76) & ~(0b11 << 62) | 7 << 76 | 0b10 << 62 | 1)

    with pytest.raises(CommandNotFound):
        ingest.look_up(database, marked)


def test_after_the_longest_that_a_queue_keeps_it_a_command_is_accepted_no_more(database: Database):
    ago = int((utc_now() - timedelta(days=14, seconds=1)).timestamp() * 1000)
    old = UUID(int=ago << 80 | 7 << 76 | 0b10 << 62 | 1)

    with pytest.raises(CommandNotFound):
        ingest.look_up(database, old)


def test_whoever_asks_for_the_command_alone_is_told_that_it_may_come(app: Durex):
    with pytest.raises(CommandNotFound, match="accepted while the database was away"):
        app.get(new_ingested_id())
    with pytest.raises(CommandNotFound, match="pruned"):
        app.get(new_id())
