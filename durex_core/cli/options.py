"""The options that every command has, and the types of values that click does not bring."""

import functools
import math
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from datetime import datetime, timedelta
from typing import Any

import click

from durex_core.app import Durex
from durex_core.cli.discovery import find_app, find_name
from durex_core.cli.output import Output, log_to_stderr


class Session:
    """One run of a command: the application that it works on, and its output."""

    def __init__(self, app: str | None, database: str | None, output: Output) -> None:
        """Keep what the options say; nothing is loaded yet."""
        self.output = output
        self._name = app
        self._database = database

    @property
    def app_name(self) -> str:
        """The application's name, `module:attribute`.

        Raises:
            AppNotFound: none is named.
        """
        return find_name(self._name)

    @functools.cached_property
    def app(self) -> Durex:
        """The application, on the database of `--database` if that was given.

        Raises:
            AppNotFound: none could be loaded.
        """
        app = find_app(self._name)
        if self._database:
            app.use_database(self._database)
        return app

    def close(self) -> None:
        """Close the application's connections, if it was loaded."""
        if "app" in self.__dict__:
            self.app.close()


def with_session(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command its session, and the options `--app`, `--database`, `--json` and `--verbose`."""

    @click.option("--app", metavar="MODULE:ATTRIBUTE", help="The application; overrides DUREX_APP and pyproject.toml.")
    @click.option("--database", metavar="URL", help="Its database; overrides DUREX_DATABASE_URL.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, and nothing else.")
    @click.option("--verbose", is_flag=True, help="Log what happens inside.")
    @functools.wraps(function)
    def command(app: str | None, database: str | None, *, as_json: bool, verbose: bool, **options: Any) -> None:
        session = Session(app, database, Output(as_json=as_json))
        log_to_stderr(verbose=verbose)
        # With --json, what the application's own code prints must not come between the documents.
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            try:
                function(session, **options)
            finally:
                session.close()

    return command


class Moment(click.ParamType[datetime]):
    """A moment in ISO 8601, with its offset from UTC."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the option's text."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no moment in ISO 8601, such as 2026-01-31T12:00Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} says no offset; add Z for UTC", param, ctx)
        return moment


class Seconds(click.ParamType[timedelta]):
    """A number of seconds, such as 30 or 0.5, at least `minimum`."""

    name = "seconds"

    def __init__(self, minimum: float = -math.inf) -> None:
        """Refuse less than the minimum."""
        self._minimum = minimum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the option's text."""
        if isinstance(value, timedelta):
            return value
        try:
            seconds = timedelta(seconds=float(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a number of seconds, such as 30 or 0.5", param, ctx)
        if seconds.total_seconds() < self._minimum:
            self.fail(f"{value} is too short; {self._minimum:g} seconds is the least", param, ctx)
        return seconds
