"""How Postgres means to run a statement, and over how many rows it then goes."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg import sql

from durex_core.store.database import Connection

Mode = Literal["custom", "generic"]
"""Whether a plan is made for the values at hand, or for whatever values may come, as for a prepared statement."""

MODES: tuple[Mode, ...] = ("custom", "generic")


@dataclass
class Plan:
    """What a plan of Postgres reads."""

    scanned_tables: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    indexes: set[str] = field(default_factory=set)
    rows_of: Counter[str] = field(default_factory=Counter)
    most_rows: float = 0

    def read(self, node: dict[str, Any]) -> None:
        """Take in a node and all below it."""
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
        rows = (node["Actual Rows"] + removed) * node["Actual Loops"]
        self.most_rows = max(self.most_rows, rows)
        if "Relation Name" in node:
            self.tables.add(node["Relation Name"])
        if node["Node Type"] == "Seq Scan":
            self.scanned_tables.add(node["Relation Name"])
        if "Index Name" in node:
            self.indexes.add(node["Index Name"])
            self.rows_of[node["Index Name"]] += rows
        for below in node.get("Plans", ()):
            self.read(below)


def explain(connection: Connection, text: str, parameters: dict[str, Any], mode: Mode = "custom") -> Plan:
    """Run a statement that is ready for the driver, measure it, and take it back."""
    names = list(dict.fromkeys(re.findall(r"%\(([\w.]+)\)s", text)))
    numbered = re.sub(r"%\(([\w.]+)\)s", lambda match: f"${names.index(match[1]) + 1}", text).replace("%%", "%")
    arguments = sql.SQL(", ").join(sql.Literal(parameters.get(name)) for name in names)
    execute = sql.SQL("({})").format(arguments) if names else sql.SQL("")
    raw = connection.raw  # type: ignore[attr-defined]
    with raw.transaction(force_rollback=True):
        raw.execute(f"SET LOCAL plan_cache_mode = force_{mode}_plan")
        raw.execute(f"PREPARE explained AS {numbered}")
        (row,) = raw.execute(
            sql.SQL("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT JSON) EXECUTE explained") + execute
        )
        raw.execute("DEALLOCATE explained")
    plan = Plan()
    plan.read(row["QUERY PLAN"][0]["Plan"])
    return plan
