"""The real command line as subprocesses, on a small application in a folder of its own."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from durex_core.cli.group import run
from durex_core.model import Command
from durex_core.operations import find
from durex_core.store.database import open_database

PATIENCE_SECONDS = 60

SHOP = '''
"""A small shop, which prints when it is imported."""

from pathlib import Path
from threading import Event

from durex_core import Context, Durex
from pydantic import BaseModel

app = Durex()
other = "not an application"
print("the shop was imported")


class Order(BaseModel):
    id: str
    amount: int


@app.command("process_order", retries=1)
def process_order(order: Order) -> str:
    print("processing", order.id, flush=True)
    return f"processed {order.id}"


@app.command("fail")
def fail() -> None:
    raise RuntimeError("on purpose\\x1b[31m\\nfor two lines")


@app.command("hold", queue="slow")
def hold(ctx: Context, file: str) -> str:
    print("holding", flush=True)
    while not Path(file).exists() and not ctx.is_cancelled:
        Event().wait(0.02)
    return "let go"
'''


class Running:
    """A `durex` that runs on, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out = ""
        self.err = ""
        self._open = ["out", "err"]
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, name))
            for stream, name in ((process.stdout, "out"), (process.stderr, "err"))
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, text: str, stream: str = "out") -> None:
        with self._changed:
            self._changed.wait_for(lambda: text in getattr(self, stream) or self._is_over(), PATIENCE_SECONDS)
        assert text in getattr(self, stream), f"out: {self.out}\nerr: {self.err}"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def pause(self) -> None:
        """Wait a moment, or until it prints something."""
        with self._changed:
            self._changed.wait(0.1)

    def end(self) -> int:
        """Wait for its end and return its exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        return code

    def _read(self, stream: TextIO, name: str) -> None:
        for line in stream:
            with self._changed:
                setattr(self, name, getattr(self, name) + line)
                self._changed.notify_all()
        stream.close()
        with self._changed:
            self._open.remove(name)
            self._changed.notify_all()

    def _is_over(self) -> bool:
        return not self._open


class CommandLine:
    """Runs `durex` in the shop's folder, on one database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DUREX_", "COLUMNS"))}
        self.environment = inherited | {"DUREX_APP": "shop:app", "DUREX_DATABASE_URL": url}

    def run(
        self, *arguments: str, text: str | None = None, folder: Path | None = None, **environment: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end; a variable that is None is left out."""
        merged = self.environment | environment
        return subprocess.run(
            [sys.executable, "-m", "durex_core.cli", *arguments],
            input=text,
            cwd=folder or self.folder,
            env={name: value for name, value in merged.items() if value is not None},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def json(self, *arguments: str, **options: Any) -> Any:
        """Run it with --json, and return the only thing on stdout."""
        done = self.run(*arguments, "--json", **options)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def running(self, *arguments: str, module: str = "durex_core.cli") -> Iterator[Running]:
        """Run it beside the block; what still runs at its end is killed."""
        with subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            running = Running(process)
            try:
                yield running
            finally:
                process.kill()
                running.end()

    def enqueue(self, name: str, payload: Any = None, *options: str) -> str:
        """Enqueue a command and return its id."""
        return str(self.json("enqueue", name, json.dumps(payload), *options)["id"])

    def finished(self, command_id: str) -> Command:
        """Wait until a command is finished, and return it."""
        for _ in range(PATIENCE_SECONDS * 20):
            command = self.stored(command_id)
            if command.state.is_terminal:
                return command
            threading.Event().wait(0.05)
        raise AssertionError(f"{command} was not finished in time")

    def stored(self, command_id: str) -> Command:
        """Return a command, read from the database without the command line."""
        database = open_database(self.url)
        try:
            return find.get(database, UUID(command_id))
        finally:
            database.close()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The folder of the small application."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    return folder


@pytest.fixture
def durex(shop: Path, sqlite_url: str) -> CommandLine:
    """The command line on SQLite."""
    return CommandLine(shop, sqlite_url)


@pytest.fixture
def durex_on_each(shop: Path, database_url: str) -> CommandLine:
    """The command line on a database of each kind in turn."""
    return CommandLine(shop, database_url)


@pytest.fixture
def durex_on_postgres(shop: Path, postgres_url: str) -> CommandLine:
    """The command line on Postgres."""
    return CommandLine(shop, postgres_url)


class CommandLineHere(CommandLine):
    """Runs `durex` inside this process, which is ten times as fast: for the many ways of being refused."""

    def __init__(
        self, outside: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        super().__init__(outside.folder, outside.url)
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(
        self, *arguments: str, text: str | None = None, folder: Path | None = None, **environment: str | None
    ) -> subprocess.CompletedProcess[str]:
        known = set(sys.modules)
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "path", list(sys.path))
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((text or "").encode())))
            patch.chdir(folder or self.folder)
            for name, value in (self.environment | environment).items():
                patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
            code = run(arguments)
        for module in {"shop", "second", "broken", "alone"} & (set(sys.modules) - known):
            del sys.modules[module]
        return subprocess.CompletedProcess(arguments, code, *self._capsys.readouterr())


@pytest.fixture
def durex_here(
    durex: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLineHere:
    """The command line on SQLite, inside this process."""
    return CommandLineHere(durex, monkeypatch, capsys)


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/empty.db"


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a Postgres database without tables."""
    name = f"durex_empty_{uuid.uuid4().hex[:8]}"
    run_on(postgres_server, f"CREATE DATABASE {name}")
    yield urlsplit(postgres_server)._replace(path=f"/{name}").geturl()
    run_on(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without tables, of each kind in turn."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


def run_on(url: str, statement: str) -> None:
    """Run one statement outside any transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
