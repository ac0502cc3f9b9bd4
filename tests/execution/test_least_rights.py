import threading
import uuid
from urllib.parse import quote

import psycopg
from psycopg import sql

from durex_core import Durex
from durex_core.operations import schema


def test_a_worker_whose_role_may_not_prune_works_all_the_same(postgres_url: str, caplog):
    role = f"durex_worker_{uuid.uuid4().hex[:8]}"
    owner = Durex(postgres_url)
    schema.grant(owner.database, {"worker": role})
    joint = "&" if "?" in postgres_url else "?"
    app = Durex(f"{postgres_url}{joint}options={quote(f'-c role={role}')}")
    ended = threading.Event()

    @app.command("end")
    def end() -> None:
        ended.set()

    worker = app.worker(queues=["end"])
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        end.enqueue()
        assert ended.wait(20)
    finally:
        worker.stop()
        thread.join(20)
        app.close()
        owner.close()
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for command in ("DROP OWNED BY {}", "DROP ROLE {}"):
                connection.execute(sql.SQL(command).format(sql.Identifier(role)))

    assert not thread.is_alive()
    assert any("cannot prune" in record.getMessage() for record in caplog.records)
