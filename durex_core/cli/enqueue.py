"""`durex enqueue NAME [JSON]`: store a command."""

import json
import sys
from typing import Any, Unpack

import click
from rich.text import Text

from durex_core.cli.options import Moment, Seconds, Session, with_session
from durex_core.errors import InvalidPayload
from durex_core.spec import SpecOptions


@click.command()
@click.argument("name")
@click.argument("payload", metavar="[JSON]", default="null")
@click.option("--delay", type=Seconds(), metavar="SECONDS", help="Wait before the first attempt.")
@click.option("--run-at", type=Moment(), metavar="MOMENT", help="Do not start before, such as 2026-01-31T12:00Z.")
@click.option("--priority", type=int, metavar="N", help="Higher runs first (default 0).")
@click.option("--retries", type=int, metavar="N", help="Attempts after the first.")
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help="The longest that one attempt may take.")
@click.option("--deadline", type=Seconds(), metavar="SECONDS", help="Expire unless it has ended by then.")
@click.option("--start-within", type=Seconds(), metavar="SECONDS", help="Expire if it has not started by then.")
@click.option("--sequence", multiple=True, metavar="NAME", help="The command that is to follow; may be repeated.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to find it by; may be repeated.")
@click.option("--correlation-id", metavar="TEXT", help="Ties it to others of one piece of business.")
@click.option("--unique-key", metavar="TEXT", help="At most one live command holds it.")
@click.option("--idempotency-key", metavar="TEXT", help="Enqueuing again returns the first command.")
@with_session
def enqueue(session: Session, name: str, payload: str, **options: Unpack[SpecOptions]) -> None:
    """Store the command NAME with a payload of JSON, and print its id.

    A payload of `-` is read from stdin. Options that are left out take the handler's defaults.
    """
    options["tags"] = options["tags"] or None
    options["sequence"] = options["sequence"] or None
    enqueued = session.app.enqueue(name, _payload(payload), **options)
    word = ("created", "green") if enqueued.created else ("exists already, nothing was stored", "yellow")
    session.output.answer(
        {"id": str(enqueued.id), "created": enqueued.created}, Text.assemble(str(enqueued.id), " ", word)
    )


def _payload(text: str) -> Any:
    """Read strict JSON: no NaN, no doubled keys.

    Raises:
        InvalidPayload: it is something else.
    """
    try:
        text = sys.stdin.buffer.read().decode() if text == "-" else text
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_doubles)
    except UnicodeDecodeError as error:
        raise InvalidPayload("payload", f"is not UTF-8: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidPayload("payload", f"is not JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value; use null or text")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in an object")
    return found
