"""The report: tables in Markdown, and the data of the plot."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.catalogue import BARE, DUREX, LEAN, PEERS, Competitor
from bench.environments import version_of
from bench.measure import Budget, Rounds, summarise
from bench.scenarios import COMPARED, Scenario

_SMALL = 10
_MANY = 100_000
_METHOD = """\
# Benchmarks

Made by `make bench`, on {cores} cores: {server}, and as it comes otherwise; Python {python}. Every figure is the median
of {rounds} rounds, in which all take turns, with the least and the most in brackets. A ratio is the median of the
ratios within each round, to the first line of its table unless it says otherwise; what slows the machine down for a
minute slows both. Runs with a commit for each command vary more than those with many in one.

Each run has a database of its own, a copy on disk, vacuumed and analysed. A drain counts from the moment at which the
first handlers ran to the one at which the last outcome is durable; workers are started and ready before. Handlers do
nothing but count themselves, in a file that all processes map; a run in which a command is lost or doubled is no result
but a failure. Pick-up is the time from the call that enqueues one command to the first line of its handler, of a worker
that was idle; it includes the commit of the one who enqueues.
"""


def report(
    scenarios: Sequence[Scenario],
    results: Mapping[str, Rounds],
    budgets: Iterable[Budget],
    *,
    server: str,
    notes: Sequence[str],
) -> str:
    """Return all tables as Markdown."""
    measured = [scenario for scenario in scenarios if results.get(scenario.name)]
    parts = [_method(server, results), _competitors(), *notes, _budget_table(budgets, results)]
    parts += [f"## {scenario.title}\n\n{_table(scenario, results[scenario.name])}" for scenario in measured]
    return "\n\n".join(part for part in parts if part) + "\n"


def shares(scenario: Scenario, rounds: Rounds) -> dict[str, Any]:
    """Return what the plot shows of a scenario: each competitor's ratio to the reference."""
    figure = _figures(rounds)[0]
    ratios = {who: summarise(rounds, who, figure, scenario.reference).ratio for who in rounds}
    known = {who: ratio for who, ratio in ratios.items() if ratio is not None}
    return {"title": scenario.title, "less_is_better": scenario.less_is_better, "ratios": known}


def _method(server: str, results: Mapping[str, Rounds]) -> str:
    rounds = max((len(measured) for each in results.values() for measured in each.values()), default=0)
    return _METHOD.format(cores=os.cpu_count(), server=server, python=platform.python_version(), rounds=rounds).rstrip()


def _competitors() -> str:
    """Tell at which setting each one runs."""
    return _markdown(
        ["", "setting"], [[_title(each), _setting(each)] for each in (LEAN, BARE, DUREX, *PEERS)], align="---"
    )


def _title(competitor: Competitor) -> str:
    if competitor.package is None or competitor.environment is None:
        return competitor.name
    return f"{competitor.name} {version_of(competitor.package, competitor.environment)}"


def _setting(competitor: Competitor) -> str:
    given = "" if competitor.most >= _MANY else f"; given at most {competitor.most:,} to drain"
    return competitor.setting + given


def _budget_table(budgets: Iterable[Budget], results: Mapping[str, Rounds]) -> str:
    rows = []
    for budget in budgets:
        reached = budget.reached(results)
        if reached is not None:
            bound = f"{'≤' if budget.is_most else '≥'} {budget.bound:g}"
            rows.append([budget.text, bound, _number(reached), "yes" if budget.is_held(reached) else "**no**"])
    return _markdown(["budget", "bound", "reached", "held"], rows) if rows else ""


def _table(scenario: Scenario, rounds: Rounds) -> str:
    figures = _figures(rounds)
    header = ["", *(title for figure in figures for title in (figure, *(["ratio"] if figure in COMPARED else [])))]
    rows = [[who, *(cell for figure in figures for cell in _cells(scenario, rounds, who, figure))] for who in rounds]
    return _markdown(header, rows)


def _cells(scenario: Scenario, rounds: Rounds, who: str, figure: str) -> list[str]:
    summary = summarise(rounds, who, figure, scenario.reference)
    spread = f"{_number(summary.median)} ({_number(summary.least)} to {_number(summary.most)})"
    ratio = "" if summary.ratio is None else f"{summary.ratio:.2f}"
    return [spread, ratio] if figure in COMPARED else [spread]


def _figures(rounds: Rounds) -> list[str]:
    return list(next(iter(rounds.values()))[0])


def _number(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < _SMALL else f"{value:,.0f}"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---:") -> str:
    lines = [header, ["---"] + [align] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
