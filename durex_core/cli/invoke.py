"""`durex invoke FUNCTION EVENT`: run a Lambda handler on this machine, as Lambda would."""

import importlib.util
import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import click

from durex_core.aws.wake import MalformedWake, WakeMessage
from durex_core.cli.discovery import project_folder
from durex_core.cli.options import Seconds, Session, with_session

FUNCTIONS = ("enqueue", "api", "worker", "tick", "migrate", "drain")

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@click.command()
@click.argument("function")
@click.argument("event", type=click.File(encoding="utf-8"))
@click.option(
    "--timeout",
    type=Seconds(0.1),
    default=timedelta(minutes=1),
    metavar="SECONDS",
    help="The longest that it may take (default 60).",
)
@click.option(
    "--env", "variables", multiple=True, metavar="NAME=VALUE", help="A variable for the handler; may be repeated."
)
@with_session
def invoke(
    session: Session,
    *,
    function: str,
    event: TextIO,
    timeout: timedelta,
    variables: tuple[str, ...],
) -> None:
    """Run the handler of FUNCTION on the JSON in the file EVENT, and print its answer.

    FUNCTION is enqueue, api, worker, tick, migrate or drain, or a handler's path such as
    functions.worker.handler.handler. It runs in a process of its own under AWS's runtime client; its log goes to
    stderr. EVENT may be `-` for stdin.
    """
    _require_client()
    from durex_core.local.runtime_api import LambdaFunction  # noqa: PLC0415  no other command pays for loading it

    handler, document, chosen = _handler(function), _document(event), _chosen(variables)
    with LambdaFunction(
        handler,
        folder=str(Path.cwd()),
        timeout_seconds=timeout.total_seconds(),
        environment=_defaults(session, document) | chosen,
    ) as running:
        answer = running.invoke(document)
    session.output.answer(answer.body, json.dumps(answer.body, indent=2))
    if answer.is_error:
        click.get_current_context().exit(1)


def _require_client() -> None:
    if importlib.util.find_spec("awslambdaric") is None:
        raise click.ClickException(
            "AWS's runtime client (awslambdaric) is not installed; pip install 'durex-core[invoke]'"
        )


def _handler(function: str) -> str:
    if function in FUNCTIONS:
        return f"functions.{function}.handler.handler"
    if _PATH.fullmatch(function):
        return function
    raise click.UsageError(
        f"{function!r} is no function; use {', '.join(FUNCTIONS)}, or a path such as functions.worker.handler.handler"
    )


def _document(event: TextIO) -> Any:
    try:
        return json.load(event)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{event.name} is not JSON: {error}") from None


def _chosen(variables: tuple[str, ...]) -> dict[str, str]:
    matches = {text: _ASSIGNMENT.fullmatch(text) for text in variables}
    for text, match in matches.items():
        if match is None:
            raise click.UsageError(f"--env {text!r}: write NAME=VALUE")
    return {match[1]: match[2] for match in matches.values() if match}


def _defaults(session: Session, event: Any) -> dict[str, str]:
    """Return what a deployment would tell the handler, as it is on this machine."""
    path = os.pathsep.join(filter(None, [str(project_folder()), os.environ.get("PYTHONPATH")]))
    return {
        "PYTHONPATH": path,
        "DUREX_APP": session.app_name,
        "DUREX_DATABASE_URL": session.app.database_url,
        "DUREX_QUEUE": os.environ.get("DUREX_QUEUE") or _queue(event) or _first_queue(session),
    }


def _queue(event: Any) -> str | None:
    """Return the queue that an event of SQS wakes, if it is one."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    for record in records if isinstance(records, list) else []:
        try:
            wake = WakeMessage.decode(record["body"])
        except (MalformedWake, KeyError, TypeError):
            continue
        return wake.queue
    return None


def _first_queue(session: Session) -> str:
    return next(iter(session.app.registry.queues), "")
