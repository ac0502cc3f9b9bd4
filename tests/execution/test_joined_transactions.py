"""A command that was enqueued in a transaction of the caller's runs when that commits, and promptly."""

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta

import psycopg

LONG = timedelta(hours=1)


def test_a_worker_hears_of_it_at_the_commit(app, database_url, work, finished, stage):
    ran = []

    @app.command("greet")
    def greet(name: str) -> None:
        ran.append(name)

    work(lease=LONG)
    finished(greet.enqueue("warm up"))
    connect = sqlite3.connect if database_url.startswith("sqlite") else psycopg.connect
    with closing(connect(database_url.removeprefix("sqlite:///"))) as connection:
        enqueued = greet.enqueue("Ada", connection=connection)
        other = finished(app.enqueue("greet", "Grace")) if stage.is_postgres else None
        # The worker is idle again: nothing but the commit could make it look.
        threading.Event().wait(0.5)
        assert "Ada" not in ran
        connection.commit()

    # Its lease says that the worker would not look again by itself for an hour.
    assert finished(enqueued, timeout_seconds=5).attempt == 1
    assert other is None or ran[:2] == ["warm up", "Grace"]
