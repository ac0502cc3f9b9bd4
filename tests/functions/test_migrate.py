"""The migrate function: it waits for its database, logs in as the master user, and leaves no connection open."""

import json
import logging
import tempfile
import uuid
from pathlib import Path

import psycopg
import pytest
from databases import fresh_postgres
from deploy.emulator import free_port
from deploy.postgres import Postgres
from psycopg import sql
from staging import wait_until

from durex_core.aws.clients import client
from durex_core.errors import DatabaseUnavailable
from durex_core.serverless import migrate as module
from durex_core.serverless.migrate import migrate
from durex_core.store.migrate import migrations

ALL = [f"{migration.version:04}_{migration.name}" for migration in migrations("postgres")]


@pytest.mark.slow
def test_it_waits_for_a_database_that_comes_up_late():
    with tempfile.TemporaryDirectory(prefix="durex_", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "data", free_port())
        starter = Starter(server)
        logging.getLogger("durex_core.serverless.patience").addHandler(starter)
        try:
            assert migrate({"DUREX_DATABASE_URL": server.url}) == ALL
        finally:
            logging.getLogger("durex_core.serverless.patience").removeHandler(starter)
            server.stop()
    assert starter.heard >= 1


class Starter(logging.Handler):
    """Starts a server at the first warning that it is not there."""

    def __init__(self, server: Postgres) -> None:
        super().__init__(logging.WARNING)
        self.heard = 0
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        assert "waiting for the database" in record.getMessage()
        self.heard += 1
        if self.heard == 1:
            self._server.start()


def test_it_gives_up_on_a_database_that_stays_away(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.1)

    with pytest.raises(DatabaseUnavailable):
        migrate({"DUREX_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"})


def test_it_logs_in_with_the_master_users_secret(postgres_server, aws):
    assert aws.process.is_alive
    name, password = f"master_{uuid.uuid4().hex[:8]}", "p@ss:/w?r&d %"
    with fresh_postgres(postgres_server) as url, psycopg.connect(url, autocommit=True) as owner:
        role, database = sql.Identifier(name), sql.Identifier(owner.info.dbname)
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        owner.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
        secret = json.dumps({"username": name, "password": password})
        arn = client("secretsmanager").create_secret(Name=name, SecretString=secret)["ARN"]

        applied = migrate({"DUREX_DATABASE_URL": url, "DUREX_DATABASE_SECRET_ARN": arn})

        assert applied == ALL
        assert owner.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'commands'").fetchone() == (name,)
        owner.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
        owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
        owner.execute(sql.SQL("DROP ROLE {}").format(role))


def test_it_leaves_no_connection_that_would_keep_the_database_awake(postgres_url, stage):
    migrate({"DUREX_DATABASE_URL": postgres_url})

    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'durex' AND datname = current_database()"
    wait_until(lambda: stage.run(sessions) == [(0,)])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://owner@db:5433/durex", "postgresql://u%40:p%2F%3A@db:5433/durex"),
        ("postgresql://db/durex?sslmode=require", "postgresql://u%40:p%2F%3A@db/durex?sslmode=require"),
    ],
)
def test_a_login_replaces_that_of_the_url(url, expected):
    assert module._with_login(url, {"username": "u@", "password": "p/:"}) == expected
