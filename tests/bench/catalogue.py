"""Who competes, and what to ask each one's database."""

from dataclasses import dataclass
from typing import LiteralString


@dataclass(frozen=True, slots=True)
class Competitor:
    """A side and how to look at what it left.

    Attributes:
        name: what tables call it.
        side: its module in `bench.competitors`, or its folder beside this module if it is in Node.
        package: what its registry calls it; None if it is ours.
        setting: at which of its settings it runs, and what else there is to know.
        environment: the environment that it runs in; None is the project's own.
        is_busy: SQL that says whether anything is yet to run, or to be settled.
        stored: SQL that counts what waits to be run.
        completed: SQL that counts what ended well; None if it keeps nothing.
        most: the most commands that it is given to drain; a slow one need not show its rate for minutes.
        oldest_python: the oldest Python that it supports.
        imports: what an application of it imports, if that can be compared.
        is_node: whether it is in Node.
    """

    name: str
    side: str
    setting: str
    package: str | None
    environment: str | None
    is_busy: LiteralString
    stored: LiteralString
    completed: LiteralString | None
    most: int = 1_000_000
    oldest_python: tuple[int, int] = (3, 11)
    imports: str = ""
    is_node: bool = False


DUREX = Competitor(
    name="durex",
    side="durex_side",
    setting="100 attempts side by side; a handler that is a plain function; history and every guard",
    package=None,
    environment=None,
    is_busy=(
        "SELECT EXISTS (SELECT FROM durex.commands WHERE state = 'started')"
        " OR EXISTS (SELECT FROM durex.commands WHERE state = 'pending')"
    ),
    stored="SELECT count(*) FROM durex.commands WHERE state = 'pending'",
    completed=(
        "SELECT count(*) FROM durex.finished_commands WHERE state = 'completed' AND name IN ('noop', 'heard', 'flaky')"
    ),
    imports="functions.worker.handler, psycopg, pydantic",
)
LEAN = Competitor(
    name="lean limit",
    side="lean_side",
    setting=(
        "the leanest SQL that claims and moves rows of durex's width: ids made by the client, a claim by priority and"
        " age that writes a lease, fenced outcomes as one JSON document; batches of 1,000, one round trip each."
        " Elsewhere: COPY, with an index by id and one for claims"
    ),
    package=None,
    environment=None,
    is_busy="SELECT EXISTS (SELECT FROM work)",
    stored="SELECT count(*) FROM work WHERE state = 'pending'",
    completed="SELECT count(*) FROM done",
)
BARE = Competitor(
    name="bare rows",
    side="bare_side",
    setting=(
        "three columns and a number for an id, batches of 1,000, claimed and moved in one round trip; no queue, no"
        " priority, no lease, no outcome. Elsewhere: a bare INSERT, COPY, LISTEN and NOTIFY"
    ),
    package=None,
    environment=None,
    is_busy="SELECT EXISTS (SELECT FROM work)",
    stored="SELECT count(*) FROM work WHERE state = 0",
    completed="SELECT count(*) FROM done",
    imports="psycopg, pydantic",
)
PGQUEUER = Competitor(
    name="PgQueuer",
    side="pgqueuer_side",
    setting="asyncpg, uvloop, batches of 1,000, its own settings for autovacuum, logged tables, its job log kept",
    package="pgqueuer",
    environment="pgqueuer",
    is_busy="SELECT EXISTS (SELECT FROM pgqueuer)",
    stored="SELECT count(*) FROM pgqueuer WHERE status = 'queued'",
    completed="SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'",
    imports="asyncpg, pgqueuer, pgqueuer.db, pgqueuer.queries",
)
OBAN = Competitor(
    name="Oban for Python",
    side="oban_side",
    setting="uvloop, 100 jobs side by side, no pause between fetches; jobs stay in their table",
    package="oban",
    environment="oban",
    is_busy="SELECT EXISTS (SELECT FROM oban_jobs WHERE state NOT IN ('completed', 'scheduled'))",
    stored="SELECT count(*) FROM oban_jobs WHERE state = 'available'",
    completed="SELECT count(*) FROM oban_jobs WHERE state = 'completed'",
    most=10_000,
    oldest_python=(3, 12),
    imports="oban",
)
PROCRASTINATE = Competitor(
    name="Procrastinate",
    side="procrastinate_side",
    setting="async tasks, 20 side by side; jobs stay in their table",
    package="procrastinate",
    environment="procrastinate",
    is_busy="SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))",
    stored="SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'",
    completed="SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
    most=4_000,
    imports="procrastinate",
)

GRAPHILE = Competitor(
    name="graphile-worker",
    side="graphile",
    setting="Node; 24 jobs side by side, a local queue of 500, completions in batches; keeps no history",
    package="graphile-worker",
    environment="graphile",
    is_busy="SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)",
    stored="SELECT count(*) FROM graphile_worker._private_jobs",
    completed=None,
    is_node=True,
)

PEERS = [PGQUEUER, GRAPHILE, OBAN, PROCRASTINATE]
