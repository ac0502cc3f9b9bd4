"""The group of all commands, and what becomes of their errors: a line on stderr and an exit code."""

import sys
from collections.abc import Sequence

import click

from durex_core import __version__
from durex_core.cli.cancel import cancel
from durex_core.cli.dev import dev
from durex_core.cli.enqueue import enqueue
from durex_core.cli.invoke import invoke
from durex_core.cli.listing import list_commands
from durex_core.cli.manifest import manifest
from durex_core.cli.migrate import migrate
from durex_core.cli.output import print_document
from durex_core.cli.rendering import one_line
from durex_core.cli.revive import replay, retry
from durex_core.cli.show import show
from durex_core.cli.stats import stats
from durex_core.cli.wake import wake
from durex_core.cli.worker import worker
from durex_core.errors import AppNotFound, DurexError, InvalidDatabaseUrl, InvalidQuery, InvalidSpec

FAILED = 1
WRONG_USE = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="durex")
def durex() -> None:
    """Durable background commands: run them, enqueue them, look at them.

    The application is named by --app, by DUREX_APP=module:attribute, or by `[tool.durex] app` in pyproject.toml.
    """


_TO_RUN = (dev, worker, migrate, manifest, invoke)
_TO_LOOK_AFTER = (enqueue, list_commands, show, cancel, retry, replay, stats, wake)
for _command in (*_TO_RUN, *_TO_LOOK_AFTER):
    durex.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run `durex` with these arguments and return its exit code."""
    try:
        return int(durex.main(list(arguments), prog_name="durex", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return _failed(arguments, error, error.format_message(), error.exit_code)
    except click.Abort:
        return _failed(arguments, InterruptedError(), "interrupted", FAILED, said=False)
    except DurexError as error:
        is_wrong_use = isinstance(error, AppNotFound | InvalidDatabaseUrl | InvalidQuery | InvalidSpec)
        return _failed(arguments, error, one_line(str(error)), WRONG_USE if is_wrong_use else FAILED, said=False)


def _failed(arguments: Sequence[str], error: Exception, message: str, code: int, *, said: bool = True) -> int:
    """Tell of an error in the form that was asked for, even when the arguments could not be parsed."""
    if not said:
        click.echo(f"{click.style('error:', fg='red')} {message}", err=True)
    if "--json" in arguments:
        field = {"field": error.field} if isinstance(error, InvalidQuery | InvalidSpec) else {}
        print_document(sys.stdout, {"error": {"type": type(error).__name__, "message": message} | field})
    return code
