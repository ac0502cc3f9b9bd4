"""Signals: the first asks a process to stop, the second makes it."""

import os
import signal
import socket
from threading import Thread

import click

from durex_core.clock import monotonic_seconds
from durex_core.local.service import Service

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ECHO_SECONDS = 0.3


def stop_on_signals(service: Service, *, grace: str) -> None:
    """Stop the service at the first SIGINT or SIGTERM, and leave the process with code 1 at the second.

    A handler written in Python runs in the main thread alone, once that has something to do: it may hold a lock then,
    or sleep through a signal that came just before it began to wait. So the interpreter is told to write the number of
    a signal to a socket, which it does at once, and a thread reads it.
    """
    heard, said = socket.socketpair()
    said.settimeout(0)
    signal.set_wakeup_fd(said.fileno())
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    Thread(target=_obey, args=(_Signals(heard, said), service, grace), name="durex-signals", daemon=True).start()


class _Signals:
    """The signals that arrive; keeps both ends of the socket open."""

    def __init__(self, heard: socket.socket, said: socket.socket) -> None:
        self._heard = heard
        self._said = said

    def get(self, *, after_seconds: float = 0.0) -> int:
        """Wait for the next one that asks to stop and comes after a moment."""
        while True:
            number = self._heard.recv(1)[0]
            if number in _SIGNALS and monotonic_seconds() > after_seconds:
                return number


def _obey(signals: _Signals, service: Service, grace: str) -> None:
    first = signal.Signals(signals.get()).name
    click.echo(f"{first}: stopping; running attempts have {grace} to end, again to leave at once", err=True)
    service.stop()
    # A terminal and a wrapper such as `timeout` both send theirs: the second of these is an echo.
    second = signal.Signals(signals.get(after_seconds=monotonic_seconds() + _ECHO_SECONDS)).name
    click.echo(f"{second}: leaving at once; the leases that are held run out, and their commands run again", err=True)
    os._exit(1)
