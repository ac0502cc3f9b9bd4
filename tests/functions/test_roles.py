"""The roles of a deployment: each can do its work, and nothing more."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
from databases import run_on
from factories import START, new_command
from psycopg import sql

from durex_core import Durex
from durex_core.model import Command, ErrorInfo, Extras, Retention, RetentionPolicy, State
from durex_core.observer import Observer
from durex_core.operations import schema
from durex_core.operations.alarms import BookedAlarms
from durex_core.operations.permanent import ensure
from durex_core.passes.dispatch import dispatch
from durex_core.passes.prune import prune
from durex_core.passes.rescue import rescue
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Failed, Repeated, Returned
from durex_core.serverless.migrate import migrate
from durex_core.store import alarms, commands, finished, partitions
from durex_core.store.database import Connection, Database, open_database
from durex_core.testing.wakes import QuietWake

DUTIES = ("worker", "enqueue", "drain", "api", "tick")
POLICY = RetentionPolicy()
LEASE = timedelta(seconds=30)


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = open_database(url)
    try:
        yield database
    finally:
        database.close()


def enqueue(url: str, **options: Any) -> None:
    with opened(url) as database:
        database.transact(lambda connection: commands.enqueue(connection, [new_command(**options)]))


def look(url: str) -> None:
    with opened(url) as database, database.autocommit() as connection:
        commands.get(connection, new_command().id)
    with opened(url) as database:
        schema.health(database)


def test_enqueue_may_enqueue(roles):
    enqueue(roles.of("enqueue"), idempotency_key="once")
    enqueue(roles.of("enqueue"), unique_key="one")


@pytest.mark.parametrize("duty", DUTIES)
def test_everybody_may_look(roles, duty):
    look(roles.of(duty))


def test_a_worker_may_do_its_work(roles):
    enqueue(roles.of("worker"))

    with opened(roles.of("worker")) as database, database.transaction() as connection:
        claimed = claim(connection)
        children = (new_command(idempotency_key="once"),)
        assert commands.note(connection, [(claimed, "half", [])]) == {commands.fence(claimed)}
        assert not commands.settle(connection, [decide(claimed, Returned("done", children), 0)]).lost
        again = claim(connection)
        assert not commands.settle(connection, [decide(again, Repeated(delay=timedelta(0)), 0)]).lost
        assert not commands.settle(connection, [decide(claim(connection), Failed(ErrorInfo("E", "e")), 0)]).lost


@pytest.mark.parametrize("duty", ["worker", "enqueue", "drain", "tick"])
def test_whoever_may_lead_to_something_that_is_due_later_may_book_its_alarm(roles, duty):
    with opened(roles.of(duty)) as database:
        book = BookedAlarms(lambda: database, Willing())
        assert book.book(START)
        assert BookedAlarms(lambda: database, Willing()).book(START)
        with database.autocommit() as connection:
            assert alarms.is_booked(connection, START)


class Willing:
    """Sets every alarm."""

    def create(self, bucket: datetime) -> bool:
        """Do nothing."""
        return bucket == START


@pytest.mark.parametrize("duty", ["worker", "api"])
def test_whoever_ends_a_command_may_tell_the_one_that_waits(roles, duty):
    parent = new_command(queue="parent", awaits=2)
    children = [new_command(join_id=parent.id, extras=Extras(join_position=position)) for position in range(2)]
    with opened(roles.of("enqueue")) as database:
        database.transact(lambda connection: commands.enqueue(connection, [parent, *children]))

    with opened(roles.of(duty)) as database, database.transaction() as connection:
        woken = commands.cancel(connection, [child.id for child in children], "not wanted")[1]
        assert woken == ["parent"]
        assert len(commands.get(connection, parent.id).children) == 2


def test_the_api_may_do_its_work(roles):
    for name in ("first", "second", "third"):
        enqueue(roles.of("worker"), name=name, tags=("a",))

    app = Durex(roles.of("api"))
    try:
        found = {command.name: command.id for command in app.find(tag="a")}
        first, second, third = found["first"], found["second"], found["third"]
        assert app.cancel(first).state is State.CANCELLED
        assert app.retry(first).state is State.PENDING
        assert set(app.cancel_many(tag="a", name="first")) == {first}
        die(roles, second, third)
        assert app.replay(second).state is State.PENDING
        assert [command.id for command in app.dead_letters()] == [third]
        assert app.purge_dead_letters(timedelta(0)) == 1
        enqueue(roles.of("worker"), name="later", delay=LEASE)
        (later,) = app.find(name="later")
        assert app.retry(later.id).state is State.PENDING
        assert app.stats().ready == 2
    finally:
        app.close()


def die(roles, *command_ids: UUID) -> None:
    """Let a worker fail commands for good."""
    with opened(roles.of("worker")) as database, database.transaction() as connection:
        claimed = commands.claim(connection, ["second", "third"], limit=9, lease=LEASE, worker="w").commands
        assert {command.id for command in claimed} == set(command_ids)
        settled = [decide(command, Failed(ErrorInfo("E", "e")), 0) for command in claimed]
        assert not commands.settle(connection, settled).lost


def claim(connection: Connection) -> Command:
    """Claim the one command that is ready."""
    (claimed,) = commands.claim(connection, ["parcels"], limit=1, lease=LEASE, worker="w").commands
    return claimed


def test_a_tick_may_do_its_work(roles):
    app = Durex()
    app.command("always", permanent=True)(lambda: None)
    enqueue(roles.of("enqueue"), idempotency_key="once")

    with opened(roles.of("tick")) as database:
        schema.publish(database, app.registry)
        assert len(ensure(database, app.registry, QuietWake(), observers=Observer())) == 1
        assert (rescue(database), dispatch(database, queues=["parcels"])) == ([], [])
        with database.autocommit() as connection:
            assert list(commands.due_by_queue(connection, ["parcels"])) == ["parcels"]
            assert alarms.prune(connection) == 0
        pruned = prune(database, POLICY)
        assert (pruned.keys, pruned.joined) == (0, 0)
        with database.transaction() as connection:
            year = connection.raw.execute("SELECT now() + '1 year' AS moment").fetchone()["moment"]
            assert partitions.keep_up(connection, POLICY, now=year) > 2
            assert finished.prune(connection, Retention.COMPLETED, keep=LEASE, limit=9) == 0


FORBIDDEN = {
    "DROP TABLE durex.commands": DUTIES,
    "ALTER TABLE durex.commands ADD COLUMN more text": DUTIES,
    "CREATE TABLE durex.mine (id int)": ("worker", "enqueue", "drain", "api"),
    "CREATE TABLE public.mine (id int)": DUTIES,
    "TRUNCATE durex.commands": DUTIES,
    "DELETE FROM durex.migrations": DUTIES,
    "INSERT INTO durex.migrations (version, name, checksum) VALUES (99, 'x', 'x')": DUTIES,
    "DROP TABLE durex.finished_commands CASCADE": ("worker", "enqueue", "drain", "api"),
    "DELETE FROM durex.finished_commands": ("worker", "enqueue", "drain"),
    "INSERT INTO durex.finished_commands DEFAULT VALUES": ("enqueue",),
    "UPDATE durex.finished_commands SET result = NULL": ("worker", "enqueue", "drain", "api"),
    "DELETE FROM durex.commands": ("enqueue", "drain", "tick"),
    "UPDATE durex.commands SET state = 'paused'": ("enqueue", "drain"),
    "SELECT FROM durex.joined": ("enqueue", "drain"),
    "UPDATE durex.joined SET result = NULL": DUTIES,
    "INSERT INTO durex.joined (command_id, position, child_id, name, state)"
    " VALUES (gen_random_uuid(), 0, gen_random_uuid(), 'n', 'completed')": ("enqueue", "drain", "tick"),
    "DELETE FROM durex.joined": ("enqueue", "drain"),
    "SELECT command_id FROM durex.keys": ("api",),
    "DELETE FROM durex.keys": ("worker", "enqueue", "drain", "api"),
    "INSERT INTO durex.keys (scope, key, command_id, expires_at) VALUES ('s', 'k', gen_random_uuid(), now())": ("api",),
    "INSERT INTO durex.handlers (name, template, published_at) VALUES ('n', '{}', now())": (
        "worker",
        "enqueue",
        "drain",
        "api",
    ),
    "DELETE FROM durex.handlers": DUTIES,
    "DELETE FROM durex.alarms": ("worker", "enqueue", "drain", "api"),
    "UPDATE durex.alarms SET bucket_at = now()": DUTIES,
    "CREATE ROLE another": DUTIES,
}


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_nobody_may_do_more(roles, statement):
    for duty in FORBIDDEN[statement]:
        with (
            psycopg.connect(roles.of(duty)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


@pytest.mark.parametrize("duty", DUTIES)
def test_the_server_bounds_what_a_role_may_take(roles, duty):
    settings = ("idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout")

    with psycopg.connect(roles.of(duty)) as connection:
        found = [connection.execute(f"SHOW {setting}").fetchone()[0] for setting in settings]

    assert found == ["1min", "20s", "20s", "3s"]


def test_grants_can_be_repeated_and_take_back_what_is_not_on_the_list(roles):
    roles.run(sql.SQL("GRANT DELETE ON durex.keys TO {}").format(sql.Identifier(roles.names["api"])))
    roles.run(sql.SQL("GRANT CREATE ON SCHEMA durex TO {}").format(sql.Identifier(roles.names["api"])))
    roles.grant()
    roles.grant()

    for statement in ("DELETE FROM durex.keys", "CREATE TABLE durex.mine (id int)"):
        with (
            psycopg.connect(roles.of("api")) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)
    test_a_tick_may_do_its_work(roles)
    test_a_worker_may_do_its_work(roles)


def test_a_master_user_who_is_no_superuser_can_deploy_again_and_again(postgres_server):
    """Aurora's master user may make roles and databases, and that is all."""
    suffix = uuid.uuid4().hex[:8]
    master, database = f"master_{suffix}", f"durex_master_{suffix}"
    names = {duty: f"durex_{duty}_{suffix}" for duty in DUTIES}
    run_on(postgres_server, sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'm'").format(sql.Identifier(master)))
    run_on(
        postgres_server,
        sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(master)),
    )
    parts = urlsplit(postgres_server)
    url = parts._replace(netloc=f"{master}:m@{parts.netloc.rpartition('@')[2]}", path=f"/{database}").geturl()
    environment = {"DUREX_DATABASE_URL": url, "DUREX_DATABASE_ROLES": str(names).replace("'", '"')}
    try:
        assert migrate(environment)[0] == "0001_initial"
        run_on(url, sql.SQL("DROP TABLE durex.finished_attention_default"))
        run_on(
            url,
            sql.SQL("CREATE TABLE durex.finished_attention_default PARTITION OF durex.finished_attention DEFAULT"),
        )
        assert migrate(environment) == []
        with psycopg.connect(url) as connection:
            owners = connection.execute(
                "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_partition_tree('durex.finished_commands')"
                " JOIN pg_class ON oid = relid"
            ).fetchall()
            assert owners == [(names["tick"],)]
            assert connection.execute("SELECT count(*) FROM durex.all_commands").fetchone() == (0,)
    finally:
        run_on(postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        for role in (*names.values(), master):
            run_on(postgres_server, sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def test_iam_sign_in_is_granted_where_the_server_knows_it(roles):
    with psycopg.connect(roles.url, autocommit=True) as connection:
        had = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'rds_iam'").fetchone()
        if not had:
            connection.execute("CREATE ROLE rds_iam")
        try:
            roles.grant()
            members = connection.execute(
                "SELECT pg_get_userbyid(member) FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole"
            ).fetchall()
            assert {(name,) for name in roles.names.values()} <= set(members)
        finally:
            if not had:
                connection.execute("DROP ROLE rds_iam")
