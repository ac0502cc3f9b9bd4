"""`durex stats`: how many commands there are in each queue and state."""

from datetime import timedelta

import click
from rich.table import Table
from rich.text import Text

from durex_core.cli.options import Seconds, Session, with_session
from durex_core.cli.rendering import duration, printable, state
from durex_core.model import State
from durex_core.operations.describe import describe_stats
from durex_core.queries import DAY, QueueStats, Stats


@click.command()
@click.option(
    "--finished-within",
    type=Seconds(),
    default=DAY,
    metavar="SECONDS",
    help="How far back finished commands are counted (default a day).",
)
@with_session
def stats(session: Session, finished_within: timedelta) -> None:
    """Count the live commands of each queue, and those that finished lately."""
    counted = session.app.stats(finished_within=finished_within)
    lately = f"finished commands of the last {duration(finished_within.total_seconds())}"
    session.output.answer(describe_stats(counted), _table(counted) if counted.queues else "no commands", lately)


def _table(counted: Stats) -> Table:
    """Show a row for each queue, and a column for each state that is to be found."""
    states = [state for state, number in counted.states.items() if number]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("queue", overflow="fold")
    table.add_column("ready", justify="right")
    table.add_column("oldest", justify="right", no_wrap=True)
    for each in states:
        table.add_column(state(each), justify="right", overflow="fold")
    for queue in counted.queues:
        table.add_row(*_row(queue, states))
    return table


def _row(queue: QueueStats, states: list[State]) -> tuple[str | Text, ...]:
    age = queue.oldest_ready_age
    numbers = [queue.live.get(state, 0) + queue.finished.get(state, 0) for state in states]
    return (
        printable(queue.queue),
        str(queue.ready),
        "" if age is None else duration(age.total_seconds()),
        *(str(number) if number else "" for number in numbers),
    )
