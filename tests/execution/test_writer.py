"""The writer: what gathers while one commit is under way shares the next, and each caller learns of its own write."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from factories import LEASE, QUEUE, new_command, new_join
from staging import Stage, wait_until

from durex_core.errors import DatabaseUnavailable
from durex_core.execution import writer as writer_module
from durex_core.execution.commits import Note, Written
from durex_core.execution.writer import Ended, Writer
from durex_core.model import State
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Failed, Repeated, Returned, Settlement
from durex_core.rules.wakes import Due
from durex_core.store import commands

SOON = 20.0

only_on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.fixture
def writer(database):
    """A writer that is closed at the end."""
    made = AnsweringWriter(database, lease=LEASE)
    yield made
    made.close()


@pytest.fixture
def claimed(database):
    """Claim so many new commands."""

    def claim(count, lease=LEASE, **options):
        new = [new_command(**options) for _ in range(count)]
        database.transact(lambda connection: commands.enqueue(connection, new))
        return claim_again(database, count, lease)

    return claim


def claim_again(database, count, lease=LEASE):
    with database.autocommit() as connection:
        return commands.claim(connection, [QUEUE], limit=count, lease=lease, worker="test").commands


def completed(command, result=None, children=()):
    return decide(command, Returned(result, children), 0.0)


class AnsweringWriter(Writer):
    """A writer that answers each settlement with a future."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.expected = 0
        self.report_to(self)

    def settle(self, settlement: Settlement) -> Future[Written]:  # type: ignore[override]
        """Store how an attempt ended."""
        written: Future[Written] = Future()
        super().settle(settlement, written)
        return written

    def settled(self, ended: Sequence[Ended]) -> None:
        """Tell each future."""
        for written, _, answer in ended:
            written.set_exception(answer) if isinstance(answer, Exception) else written.set_result(answer)

    def soon(self, ended: int) -> float:
        """Wait for as many as are expected, and for nobody if none are."""
        return SOON if ended < self.expected else 0.0


def held_up(writer: Writer, stage: Stage, first):
    """Let the writer take a first write, which waits for a lock that the test holds."""
    waiting = writer.settle(first)
    wait_until(writer._queue.empty)
    if stage.is_postgres:
        wait_until(stage.has_waiters)
    return waiting


def test_what_gathers_during_a_commit_shares_the_next_one(writer, claimed, stage):
    first, *rest = claimed(50)
    with stage.holding_writes():
        held = [held_up(writer, stage, completed(first))]
        held += [writer.settle(completed(command)) for command in rest]

    assert all(one.result(SOON).held for one in held)
    # All rows of one statement bear its moment.
    finished_at = stage.run("SELECT finished_at FROM finished_commands WHERE id <> %s", str(first.id))
    assert len(finished_at) == 49
    assert len(set(finished_at)) == 1


def test_a_settlement_waits_for_those_that_are_about_to_come(writer, claimed, monkeypatch):
    monkeypatch.setattr(writer_module, "_LONGEST_SECONDS", SOON)
    groups = counted_groups(writer, monkeypatch)
    writer.expected = 3
    held = [writer.settle(completed(command)) for command in claimed(3)]
    assert all(each.result(SOON / 2).held for each in held)
    assert groups == [3]


def test_it_waits_a_moment_and_no_longer(writer, claimed, monkeypatch):
    groups = counted_groups(writer, monkeypatch)
    writer.expected = 2
    (lone,) = claimed(1)
    assert writer.settle(completed(lone)).result(SOON / 2).held
    assert groups == [1]


def test_who_tells_something_of_itself_waits_for_nobody(writer, claimed, monkeypatch):
    monkeypatch.setattr(writer_module, "_LONGEST_SECONDS", SOON)
    groups = counted_groups(writer, monkeypatch)
    writer.expected = 3
    telling, ending = claimed(2)
    assert writer.note(telling, Note("half")).result(SOON / 2).held
    ended = writer.settle(completed(ending))
    assert writer.extend(telling).result(SOON / 2).held
    assert ended.result(SOON / 2).held
    assert groups == [1, 2]


def counted_groups(writer, monkeypatch):
    """Count what each commit writes."""
    groups = []
    commit = writer._commits.commit

    def counted(group):
        groups.append(len(group))
        return commit(group)

    monkeypatch.setattr(writer._commits, "commit", counted)
    return groups


def test_every_kind_of_write_shares_the_commit(writer, claimed, database, stage):
    first, done, failing, running, parent = claimed(5, retries=1)
    child = new_command(queue="elsewhere")
    with stage.holding_writes():
        held = [held_up(writer, stage, completed(first))]
        held.append(writer.settle(completed(done, result={"a": 1})))
        held.append(writer.settle(decide(failing, Failed(error=None), 0.0)))
        held.append(writer.extend(running))
        held.append(writer.settle(completed(parent, children=(child,))))

    assert all(one.result(SOON).held for one in held)
    states = {command.id: command.state for command in read(database, [done, failing, running, parent, child])}
    assert list(states.values()) == ["completed", "pending", "started", "completed", "pending"]


REFUSED = {
    "a result that is no JSON": lambda command: replace(completed(command), result=float("nan")),
    "text that is no Unicode": lambda command: replace(completed(command), result="\ud800"),
    "a child without a name": lambda command: completed(command, children=(new_command(name=None),)),
    "a state that does not exist": lambda command: replace(completed(command), error=None, state=Nonsense("nonsense")),
}


class Nonsense(str):
    """A state that no database takes."""

    is_terminal = True
    __slots__ = ()


def test_writes_that_are_refused_fail_their_callers_and_none_of_their_neighbours(writer, claimed, database, stage):
    first, *rest = claimed(40)
    bad = dict(zip(REFUSED, rest[3::9], strict=False))
    good = [command for command in rest if command not in bad.values()]
    assert len(bad) == len(REFUSED)
    with stage.holding_writes():
        held_up(writer, stage, completed(first))
        held = {command.id: writer.settle(outcome(command, bad)) for command in rest}

    assert all(held[command.id].result(SOON).held for command in good)
    assert all(held[command.id].exception(SOON) is not None for command in bad.values())
    assert {command.state for command in read(database, good)} == {State.COMPLETED}
    assert {command.state for command in read(database, bad.values())} == {State.STARTED}


def outcome(command, bad):
    """Return the settlement that is refused, or a plain one."""
    return next((REFUSED[which](other) for which, other in bad.items() if other is command), completed(command))


def test_a_lost_lease_is_an_answer_and_not_an_error(writer, claimed, database, stage):
    gone, kept = claimed(2)
    stage.run("UPDATE commands SET lease_number = 9 WHERE id = %s", str(gone.id))

    answers = [writer.settle(completed(gone)), writer.settle(completed(kept)), writer.extend(gone)]
    assert [one.result(SOON).held for one in answers] == [False, True, False]
    assert read(database, [gone])[0].state is State.STARTED


def test_a_lease_that_ran_out_is_lost_even_if_nobody_took_it(writer, claimed, stage):
    (late,) = claimed(1)
    stage.expire_lease(late.id)

    assert not writer.extend(late).result(SOON).held
    assert not writer.settle(completed(late)).result(SOON).held


def test_an_attempt_and_its_successor_in_one_commit_are_told_apart(writer, claimed, database, stage):
    (first,) = claimed(1)
    (old,) = claimed(1, retries=1)
    stage.expire_lease(old.id)
    (new,) = claim_again(database, 1)
    assert (new.id, new.lease_number) == (old.id, 2)
    children = [new_command(queue="elsewhere"), new_command(queue="elsewhere")]
    with stage.holding_writes():
        held_up(writer, stage, completed(first))
        answers = [
            writer.extend(old),
            writer.extend(new),
            writer.settle(completed(old, result="old", children=(children[0],))),
            writer.settle(completed(new, result="new", children=(children[1],))),
        ]

    assert [one.result(SOON).held for one in answers] == [False, True, False, True]
    assert read(database, [new])[0].result == "new"
    assert stage.run("SELECT count(*) FROM commands") == [(1,)]


def test_an_extended_lease_lasts_from_now(database, claimed):
    writer = AnsweringWriter(database, lease=timedelta(hours=1))
    (command,) = claimed(1, lease=timedelta(seconds=5))

    assert writer.extend(command).result(SOON).held
    writer.close()
    extended = read(database, [command])[0].lease_expires_at
    assert timedelta(minutes=59) < extended - command.lease_expires_at < timedelta(minutes=61)


def test_of_several_notes_of_one_attempt_the_last_one_stays_and_all_are_answered(writer, claimed, database, stage):
    first, telling, gone = claimed(3)
    stage.run("UPDATE commands SET lease_number = 9 WHERE id = %s", str(gone.id))
    with stage.holding_writes():
        held_up(writer, stage, completed(first))
        answers = [writer.note(command, Note(progress)) for command in (telling, gone) for progress in (1, 2, 3)]

    assert [one.result(SOON).held for one in answers] == [True] * 3 + [False] * 3
    assert [command.progress for command in read(database, [telling, gone])] == [3, None]


def test_what_an_attempt_tells_is_stored_with_its_end_in_one_commit(writer, claimed, database, stage):
    first, command = claimed(2)
    with stage.holding_writes():
        held_up(writer, stage, completed(first))
        answers = [writer.note(command, Note("half")), writer.settle(completed(command, result="whole"))]

    assert [one.result(SOON).held for one in answers] == [True, True]
    (ended,) = read(database, [command])
    assert (ended.state, ended.progress, ended.result) == (State.COMPLETED, "half", "whole")


def test_whoever_ends_the_last_part_of_a_join_hears_which_queue_has_work_and_nobody_else(
    writer, claimed, database, stage
):
    waiting, *parts = new_join(2, queue="later")
    database.transact(lambda connection: commands.enqueue(connection, [waiting, *parts]))
    first, plain = claimed(2)
    with database.autocommit() as connection:
        ending = commands.claim(connection, ["children"], limit=2, lease=LEASE, worker="test").commands
    assert writer.settle(completed(ending[0])).result(SOON).woken == ()
    with stage.holding_writes():
        held_up(writer, stage, completed(first))
        answers = [writer.settle(completed(command)) for command in (plain, ending[1])]

    assert [one.result(SOON) for one in answers] == [Written(held=True), Written(held=True, woken=("later",))]
    assert read(database, [waiting])[0].state is State.PENDING


class Ahead:
    """Hears what will be ready, and looks what everybody else sees in the database then."""

    def __init__(self, stage: Stage, look: str) -> None:
        self.heard: list[tuple[dict[str, Due], list[tuple[object, ...]]]] = []
        self.breaks = 0
        self._stage = stage
        self._look = look

    def __call__(self, due: Mapping[str, Due]) -> None:
        self.heard.append((dict(due), self._stage.run(self._look)))
        if self.breaks:
            self.breaks -= 1
            raise DatabaseUnavailable("the book of alarms is away")


@pytest.fixture
def telling(database, stage):
    """Make a writer that tells of what will be ready; it is closed at the end."""
    made = []

    def make(look):
        ahead = Ahead(stage, look)
        made.append(AnsweringWriter(database, lease=LEASE, ahead=ahead))
        return made[-1], ahead

    yield make
    for writer in made:
        writer.close()


UNFINISHED = "SELECT state, count(*) FROM commands GROUP BY state ORDER BY state"


def test_what_a_commit_makes_ready_is_told_before_it_and_at_once_for_all(telling, claimed, stage):
    writer, ahead = telling(UNFINISHED)
    first, failing, repeating, parent, plain = claimed(5, retries=1, backoff={"kind": "constant", "delay": 7})
    children = [new_command(queue="a"), new_command(queue="a"), new_command(queue="b", delay=timedelta(hours=1))]
    with stage.holding_writes():
        held = [held_up(writer, stage, completed(first))]
        held.append(writer.settle(decide(failing, Failed(error=None), 0.0)))
        held.append(writer.settle(decide(repeating, Repeated(delay=timedelta(seconds=9)), 0.0)))
        held.append(writer.settle(completed(parent, children=children)))
        held.append(writer.settle(completed(plain)))

    assert all(one.result(SOON).held for one in held)
    due = {QUEUE: Due(timedelta(seconds=7)), "a": Due(count=2), "b": Due(timedelta(hours=1))}
    assert ahead.heard == [(due, [("started", 4)])]


def test_plain_completions_notes_and_extensions_tell_nobody(telling, claimed):
    writer, ahead = telling(UNFINISHED)
    done, telling_of_itself, running = claimed(3)

    held = [writer.settle(completed(done)), writer.note(telling_of_itself, Note("half")), writer.extend(running)]

    assert all(one.result(SOON).held for one in held)
    assert ahead.heard == []


def test_what_waited_for_its_last_part_is_told_inside_the_transaction_that_ends_it(telling, database):
    writer, ahead = telling("SELECT state FROM commands WHERE queue = 'later'")
    waiting, *parts = new_join(2, queue="later")
    database.transact(lambda connection: commands.enqueue(connection, [waiting, *parts]))
    with database.autocommit() as connection:
        ending = commands.claim(connection, ["children"], limit=2, lease=LEASE, worker="test").commands

    assert writer.settle(completed(ending[0])).result(SOON).held
    assert ahead.heard == []
    assert writer.settle(completed(ending[1])).result(SOON).held

    assert ahead.heard == [({"later": Due()}, [("waiting",)])]
    assert read(database, [waiting])[0].state is State.PENDING


@pytest.mark.parametrize("is_joined", [False, True])
def test_if_nobody_can_be_told_for_want_of_a_database_nothing_is_committed_and_all_is_tried_again(
    telling, database, is_joined
):
    writer, ahead = telling("SELECT count(*) FROM finished_commands")
    waiting, *parts = new_join(1, queue="later")
    new = [waiting, *parts] if is_joined else [new_command(queue="children")]
    database.transact(lambda connection: commands.enqueue(connection, new))
    with database.autocommit() as connection:
        (claimed,) = commands.claim(connection, ["children"], limit=1, lease=LEASE, worker="test").commands
    ahead.breaks = 2

    children = () if is_joined else (new_command(queue="later"),)
    assert writer.settle(completed(claimed, children=children)).result(SOON).held

    assert ahead.heard == [({"later": Due()}, [(0,)])] * 3
    assert len(read(database, [claimed])) == 1


def test_close_writes_what_is_left(database, claimed, stage):
    writer = AnsweringWriter(database, lease=LEASE)
    first, *rest = claimed(20)
    with stage.holding_writes():
        held = [held_up(writer, stage, completed(first))]
        held += [writer.settle(completed(command)) for command in rest]
        closing = threading.Thread(target=writer.close)
        closing.start()
    closing.join(SOON)

    assert not closing.is_alive()
    assert all(one.done() and one.result().held for one in held)
    assert stage.count("finished_commands") == 20


@only_on_postgres
def test_sessions_that_the_server_ends_lose_nothing(writer, claimed, stage):
    settling = claimed(300)
    with ThreadPoolExecutor(4) as pool:
        held = [pool.submit(lambda one: writer.settle(completed(one)).result(SOON), command) for command in settling]
        ended = sum(stage.end_sessions() for _ in range(20))
        answers = [one.result(SOON) for one in held]

    assert ended > 0
    # A write that was repeated because its first answer got lost is answered as lost: what counts is the rows.
    assert len(answers) == 300
    assert stage.count("finished_commands") == 300
    assert stage.count("commands") == 0


@only_on_postgres
def test_a_session_that_ends_while_its_write_waits_is_replaced(writer, claimed, stage):
    first, *rest = claimed(3)
    with stage.holding_writes():
        held = [held_up(writer, stage, completed(first))]
        held += [writer.settle(completed(command)) for command in rest]
        assert stage.end_sessions() >= 1
        wait_until(stage.has_waiters)

    assert all(one.result(SOON).held for one in held)
    assert stage.count("finished_commands") == 3


def read(database, wanted):
    with database.autocommit() as connection:
        return [commands.get(connection, command.id) for command in wanted]
