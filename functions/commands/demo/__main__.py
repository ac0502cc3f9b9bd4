"""The demonstration's entry point: serve, send, watch, tell."""

import argparse
import logging
import signal
import sys
import tempfile
import threading
from pathlib import Path

from rich.console import Console
from rich.live import Live

from durex_core.api.asgi import asgi
from durex_core.cli.dev import curl_line
from durex_core.cli.output import console
from durex_core.clock import monotonic_seconds
from durex_core.errors import DurexError
from durex_core.local.server import Server
from durex_core.local.service import Service
from functions.commands import app
from functions.commands.demo import screen
from functions.commands.demo.client import Client
from functions.commands.demo.orders import Flow

_FRAME_SECONDS = 0.05
_PACE_SECONDS = 0.12
_LONGEST_SECONDS = 30.0
_LOOK_SECONDS = 0.5
_EXAMPLE = {"id": "B-1", "amount": 42}

_never = threading.Event()


def main() -> int:
    """Run the demonstration and return its exit code: 1 if anything did not end as it should."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("durex_core").setLevel(logging.ERROR)  # the screen tells of the failures that are part of it
    try:
        with tempfile.TemporaryDirectory(prefix="durex-demo-") as folder:
            return _serve(Path(folder) / "demo.db", port=options.port, keep=options.keep)
    except KeyboardInterrupt:
        return 1
    except DurexError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m functions.commands.demo", description="The example order flow.")
    parser.add_argument("--keep", action="store_true", help="go on serving until Ctrl-C")
    parser.add_argument("--port", type=int, default=0, help="the API's port (default: any that is free)")
    return parser.parse_args()


def _serve(database: Path, *, port: int, keep: bool) -> int:
    """Run the API and a worker on the database, and the demonstration beside them."""
    app.use_database(f"sqlite:///{database}")
    server = Server(asgi(app), port=port)
    output = console(sys.stdout)
    try:
        with Service(server, app.worker()):
            faults = _demonstrate(output, server.url)
            if keep:
                _keep(output, server.url)
            return 1 if faults else 0
    finally:
        app.close()


def _demonstrate(output: Console, url: str) -> list[str]:
    start = monotonic_seconds()
    flow = Flow(Client(url))
    output.print(screen.greeting(url))
    with Live(console=output, auto_refresh=False) as live:
        for sent in flow.requests():
            live.console.print(screen.request_line(sent))
            _watch(live, flow, monotonic_seconds() + (_PACE_SECONDS if output.is_terminal else 0))
        _watch(live, flow, start + _LONGEST_SECONDS, until_over=True)
    if not output.is_terminal:
        output.print()  # where nothing moves, Live leaves its last line open
    output.print(screen.outcome(flow, monotonic_seconds() - start))
    return flow.faults()


def _watch(live: Live, flow: Flow, end_seconds: float, *, until_over: bool = False) -> None:
    """Show how the commands move until a moment, or until they are over."""
    while True:
        flow.look()
        live.update(screen.board(flow), refresh=True)
        if monotonic_seconds() >= end_seconds or (until_over and flow.is_over):
            return
        _never.wait(_FRAME_SECONDS)


def _keep(output: Console, url: str) -> None:
    try:
        output.print(screen.serving(url, curl_line(url, "process_order", _EXAMPLE)), soft_wrap=True)
        # A signal that comes just before a wait is noticed at its end: so none lasts for long.
        while True:
            _never.wait(_LOOK_SECONDS)
    except KeyboardInterrupt:
        output.print("stopped")


if __name__ == "__main__":
    sys.exit(main())
