"""The budgets that durex is held to, as ratios within one run on one machine."""

from bench.catalogue import BARE, DUREX, GRAPHILE, LEAN, PGQUEUER
from bench.measure import Budget
from bench.scenarios import IMPORT, P50, PEAK, RATE

BUDGETS = [
    Budget("drain, one process, to the lean limit", "drain", DUREX.name, RATE, 0.6, LEAN.name),
    Budget("drain, one process, to PgQueuer", "drain", DUREX.name, RATE, 2.5, PGQUEUER.name),
    Budget("drain, one process, to graphile-worker", "drain", DUREX.name, RATE, 1, GRAPHILE.name),
    Budget("enqueue, one per commit, to a bare INSERT", "enqueue", DUREX.name, RATE, 0.8, BARE.name),
    Budget("bulk enqueue, to COPY of rows as wide", "bulk", DUREX.name, RATE, 0.5, LEAN.name),
    Budget("pick-up, p50, to LISTEN and NOTIFY", "pick-up", DUREX.name, P50, 2, BARE.name, is_most=True),
    Budget("drain beside much, to an empty table", "backlog", "durex, all beside", RATE, 0.9, "durex, nothing beside"),
    Budget(
        "import of a command function, to psycopg and pydantic",
        "import",
        "durex, a command function",
        IMPORT,
        1.4,
        "import psycopg, pydantic",
        is_most=True,
    ),
    Budget("memory of a long drain, MB", "sustained", DUREX.name, PEAK, 80, is_most=True),
]
