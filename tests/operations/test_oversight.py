"""What an application offers: each of its methods does what its operation does, on its own database."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from listener import Listener
from virtual_store import VirtualStore

from durex_core import Durex
from durex_core.errors import InvalidQuery, InvalidSpec, NotAllowed
from durex_core.model import State
from durex_core.queries import Query
from durex_core.rules.outcomes import Settlement

HOUR = timedelta(hours=1)


@pytest.fixture
def app(database_url: str) -> Iterator[Durex]:
    """An application with a command."""
    app = Durex(database_url)
    app.command("greet")(greet)
    yield app
    app.close()


def greet(name: str) -> str:
    return f"hello {name}"


@pytest.fixture
def end(app: Durex) -> Callable[..., UUID]:
    """Let a command end in a state."""

    def make(state: State = State.DEAD_LETTER, **options: Any) -> UUID:
        store = VirtualStore(app.database)
        command_id = app.enqueue("greet", "world", **options).id
        store.now = app.get(command_id).ready_at
        (attempt,) = [c for c in store.claim("greet") if c.id == command_id]
        assert store.write(Settlement(attempt, state, "by hand"))
        return command_id

    return make


def test_commands_are_found_by_keywords_or_by_a_query(app: Durex):
    found = [app.enqueue("greet", "world", tags=["a"], delay=HOUR).id for _ in range(3)]
    app.enqueue("greet", "world")

    page = app.find(tag="a", state="scheduled", limit=2)
    rest = app.find(tag="a", state="scheduled", limit=2, cursor=page.next_cursor)

    assert [command.id for command in [*page, *rest]] == sorted(found, reverse=True)
    assert app.find(Query(tags=("a",), limit=2)) == page
    assert len(app.find().commands) == 4


def test_a_query_beside_keywords_is_refused(app: Durex):
    with pytest.raises(InvalidQuery, match="tag: stands beside a whole query"):
        app.find(Query(), tag="a")
    with pytest.raises(InvalidQuery, match="limit"):
        app.find(Query(limit=0))
    with pytest.raises(InvalidQuery, match="colour: is no filter"):
        app.find(colour="red")  # type: ignore[call-arg]


def test_commands_are_counted(app: Durex, end: Callable[..., UUID]):
    end()
    app.enqueue("greet", "world")

    stats = app.stats()

    assert (stats.states[State.DEAD_LETTER], stats.states[State.PENDING], stats.ready) == (1, 1, 1)
    assert stats.finished_within == timedelta(days=1)


def test_a_command_is_cancelled_and_retried(app: Durex):
    heard = Listener()
    app.observe(heard)
    command_id = app.enqueue("greet", "world").id

    assert app.cancel(str(command_id), "a slip").state is State.CANCELLED
    assert app.retry(str(command_id)).state is State.PENDING
    assert [event.event for event in app.history(command_id)] == ["created", "cancelled", "retrying"]
    assert [[command.id for command in told] for told in (heard.ended, heard.alive)] == [[command_id]] * 2
    with pytest.raises(NotAllowed, match="it is ready already"):
        app.retry(command_id)


def test_many_are_cancelled(app: Durex):
    ids = [app.enqueue("greet", "world", tags=["a"]).id for _ in range(3)]

    assert app.cancel_many(tag="a", reason="enough") == sorted(ids)
    assert app.get(ids[0]).error.message == "enough"  # type: ignore[union-attr]
    with pytest.raises(InvalidQuery, match="narrow it"):
        app.cancel_many()


def test_the_dead_letter_queue_is_looked_at_replayed_and_purged(app: Durex, end: Callable[..., UUID]):
    dead = [end() for _ in range(3)]
    end(State.FAILED)

    assert [command.id for command in app.dead_letters(descending=False)] == sorted(dead)
    assert len(app.dead_letters(limit=2).commands) == 2
    assert app.replay(dead[0]).state is State.PENDING
    assert app.replay_dead_letters("greet", limit=1) == sorted(dead[1:])[:1]
    assert app.purge_dead_letters(HOUR) == 0
    assert app.purge_dead_letters(timedelta(0)) == 1
    assert app.dead_letters().commands == ()
    with pytest.raises(InvalidQuery, match="state: stands beside states"):
        app.dead_letters(states=["failed"])


@pytest.mark.parametrize("method", ["get", "history", "cancel", "retry", "replay"])
def test_a_text_that_is_no_id_is_refused(app: Durex, method: str):
    with pytest.raises(InvalidSpec, match="id: '42' is not a command id"):
        getattr(app, method)("42")


def test_a_worker_of_the_application_is_woken_by_a_retry(app: Durex):
    command_id = app.enqueue("greet", "world", delay=HOUR).id
    app._bell.wait(0)

    app.retry(command_id)

    assert not app._bell._rings.empty()
