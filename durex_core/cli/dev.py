"""`durex dev`: an application in one process, its worker and its HTTP API."""

import json
import logging
import shlex
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from durex_core.app import Durex
from durex_core.cli.example import NoExample, example_payload
from durex_core.cli.options import Session, with_session
from durex_core.cli.rendering import duration
from durex_core.cli.signals import stop_on_signals
from durex_core.local import GRACE
from durex_core.local.service import Service
from durex_core.store.database import masked

_HIGHEST_PORT = 65_535


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, _HIGHEST_PORT), default=8000, show_default=True, help="0: any free one.")
@click.option("--concurrency", type=click.IntRange(1), default=10, show_default=True, help="Attempts side by side.")
@with_session
def dev(session: Session, host: str, port: int, concurrency: int) -> None:
    """Serve the application on this machine: its worker and its HTTP API, in one process.

    The database is brought up to date first. What is stored stays, also after Ctrl-C or SIGTERM.
    """
    from durex_core.api.asgi import asgi  # noqa: PLC0415  no other command pays for loading the API
    from durex_core.local.server import Server  # noqa: PLC0415  nor for the server

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    app = session.app
    server = Server(asgi(app), host=host, port=port)
    app.migrate()
    service = Service(server, app.worker(concurrency=concurrency))
    stop_on_signals(service, grace=duration(GRACE.total_seconds()))
    with service:
        session.output.answer(_document(app, server.url), *_welcome(app, server.url))
        service.wait()
    session.output.answer({"event": "stopped"}, "stopped")


def curl_line(url: str, name: str, payload: Any) -> str:
    """Return a line for the shell that enqueues a command over HTTP."""
    body = {"name": name} | ({} if payload is None else {"payload": payload})
    text = json.dumps(body, ensure_ascii=False)
    return f"curl {url}/v1/commands -H 'Content-Type: application/json' -d {shlex.quote(text)}"


def _document(app: Durex, url: str) -> dict[str, Any]:
    return {
        "event": "started",
        "url": url,
        "docs": f"{url}/docs",
        "database": masked(app.database_url),
        "commands": [handler.name for handler in app.registry],
        "curl": _try_it(app, url),
    }


def _welcome(app: Durex, url: str) -> list[RenderableType]:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("API", Text(url, "bold cyan"))
    facts.add_row("docs", Text(f"{url}/docs", "cyan"))
    facts.add_row("database", masked(app.database_url))
    facts.add_row("commands", ", ".join(handler.name for handler in app.registry) or "none yet")
    line = _try_it(app, url)
    return [facts, *([Text("Try it (Ctrl-C stops the server):", "dim"), Text(line, "green")] if line else [])]


def _try_it(app: Durex, url: str) -> str | None:
    """Return a curl line for the first command for which a payload can be made up."""
    for handler in app.registry:
        try:
            return curl_line(url, handler.name, example_payload(handler))
        except NoExample:
            continue
    return None
