"""`make bench`: durex, the lean limit and its peers, taking turns on a Postgres of their own.

Exits with 1 if any command was lost or doubled, or a competitor failed; never for being slow.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg
from bench.budgets import BUDGETS
from bench.catalogue import PEERS, Competitor
from bench.environments import ROOT, Missing, folder, python_of
from bench.measure import Figures
from bench.processes import SideFailed, installed
from bench.report import report, shares
from bench.runs import Wrong
from bench.scenarios import SIZES, Scenario, scenarios
from bench.server import Databases, running_server

_IN_PLOT = ("drain", "enqueue", "bulk", "pick-up")

Results = Mapping[str, dict[str, list[Figures]]]


def main(arguments: Sequence[str]) -> int:
    """Measure, and write what came of it."""
    options = _options(arguments)
    failures: list[str] = []
    peers, notes = _peers(options.peers)
    with running_server() as url:
        databases = Databases(url)
        chosen = [
            scenario
            for scenario in scenarios(databases, SIZES[options.size], peers)
            if not options.only or scenario.name in options.only
        ]
        try:
            results = _measure(chosen, options.repeat, failures)
        finally:
            databases.close()
        (folder() / "results.json").write_text(json.dumps(results, indent=1))
        text = report(chosen, results, BUDGETS, server=databases.server, notes=[*notes, *failures])
    _say(text)
    (options.report or folder() / "benchmarks.md").write_text(text)
    _plot(options.plot or folder() / "benchmarks.svg", chosen, results)
    return 1 if failures else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="how much of everything (default: full)")
    parser.add_argument("--repeat", type=int, default=3, help="how many rounds (default: 3)")
    parser.add_argument("--only", action="append", metavar="NAME", help="this scenario alone; may be repeated")
    parser.add_argument("--peers", default="all", help="names of peers, with commas between them; or all, or none")
    parser.add_argument("--report", type=Path, help="where the tables go (default: .bench/benchmarks.md)")
    parser.add_argument("--plot", type=Path, help="where the plot goes (default: .bench/benchmarks.svg)")
    return parser.parse_args(arguments)


def _peers(names: str) -> tuple[list[Competitor], list[str]]:
    """Return the peers that run here, and what to say of the others."""
    here, notes = [], []
    for peer in PEERS:
        if names != "all" and peer.environment not in names.split(","):
            continue
        try:
            _say(f"{peer.name} …")
            installed(peer)
            here.append(peer)
        except Missing as missing:
            notes.append(f"{peer.name} is left out: {missing}")
            _say(notes[-1])
    return here, notes


def _measure(chosen: Sequence[Scenario], repeat: int, failures: list[str]) -> Results:
    """Go round: in each round every competitor of a scenario has its turn, in another order each time."""
    results: defaultdict[str, dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))
    for scenario in chosen:
        _say(f"\n{scenario.title}")
        entries = dict(scenario.entries)
        for turn in range(repeat):
            for name in _rotated(list(entries), turn):
                try:
                    figures = entries[name]()
                except (Wrong, SideFailed, psycopg.Error, subprocess.SubprocessError) as error:
                    failures.append(f"{scenario.name}, {name}: {error}")
                    _say(failures[-1])
                    del entries[name]
                    results[scenario.name].pop(name, None)
                else:
                    results[scenario.name][name].append(figures)
                    _say(f"  {name}: " + ", ".join(f"{value:,.2f} {figure}" for figure, value in figures.items()))
    return _in_order(chosen, results)


def _in_order(chosen: Sequence[Scenario], results: Results) -> Results:
    return {
        scenario.name: {name: rounds for name in scenario.entries if (rounds := results[scenario.name].get(name))}
        for scenario in chosen
    }


def _rotated(names: list[str], by: int) -> list[str]:
    first = by % len(names) if names else 0
    return names[first:] + names[:first]


def _plot(path: Path, chosen: Sequence[Scenario], results: Results) -> None:
    by_name = {scenario.name: scenario for scenario in chosen}
    drawn = (shares(by_name[name], results[name]) for name in _IN_PLOT if results.get(name))
    panels = [panel for panel in drawn if panel["ratios"]]
    if not panels:
        return
    try:
        python = python_of("plot")
    except Missing as missing:
        _say(f"no plot: {missing}")
        return
    script = Path(__file__).with_name("plot.py")
    command = [str(python), str(script), str(path.resolve())]
    subprocess.run(command, input=json.dumps(panels), text=True, check=True, cwd=ROOT)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
