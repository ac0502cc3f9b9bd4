"""Many seeds of random faults: `python -m wakes.many_seeds` with `tests` on the path, a million unless told otherwise.

A seed that fails is printed with the end of its trace; `python -m wakes.many_seeds --seed N` runs it again, alone.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from itertools import islice

from wakes import seeds

from durex_core.clock import monotonic_seconds

CHUNK = 100
MILLION = 1_000_000
_FEW = 5
_AT_ONCE = 8
_TELL_EVERY_SECONDS = 5.0

Failures = list[tuple[int, str]]


def run_all(executor: Executor, numbers: range) -> Iterator[tuple[int, Failures]]:
    """Run seeds in the processes of an executor; yield how many ran and which of them failed, chunk by chunk."""
    chunks = (numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK))
    waiting: list[Future[tuple[int, Failures]]] = [
        executor.submit(run_chunk, each) for each in islice(chunks, _AT_ONCE)
    ]
    while waiting:
        done = waiting.pop(0)
        waiting.extend(executor.submit(run_chunk, each) for each in islice(chunks, 1))
        yield done.result()


def run_chunk(numbers: range) -> tuple[int, Failures]:
    """Run some seeds here; return how many, and those that failed, each with what was wrong."""
    failures: Failures = []
    for seed in numbers:
        try:
            seeds.run(seed)
        except Exception as error:  # noqa: BLE001  an error of the simulation is a failure, too
            failures.append((seed, f"{type(error).__name__}: {error}"))
    return len(numbers), failures


def pool(processes: int) -> ProcessPoolExecutor:
    """Return processes that start from nothing: a fork would take threads and locks along."""
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))


def told(seed: int, wrong: str) -> str:
    """Say what is wrong with a seed and how to see it again."""
    return f"seed {seed}: {wrong}\n\nrun it again: PYTHONPATH=tests python -m wakes.many_seeds --seed {seed}\n"


def main() -> int:
    """Run what the command line asks for; return 1 if a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=MILLION, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seed", type=int, help="run one seed alone and print its trace")
    options = parser.parse_args()
    if options.seed is not None:
        return _run_one(options.seed)
    return _run_many(range(options.first, options.first + options.seeds), options.processes)


def _run_one(seed: int) -> int:
    _, failures = run_chunk(range(seed, seed + 1))
    sys.stdout.write(told(*failures[0]) if failures else f"{seeds.run(seed).world.trace}\nseed {seed} ends well\n")
    return len(failures)


def _run_many(numbers: range, processes: int) -> int:
    began_at = told_at = monotonic_seconds()
    ran = failed = 0
    with pool(processes) as executor:
        for count, failures in run_all(executor, numbers):
            ran, failed = ran + count, failed + len(failures)
            for seed, wrong in failures[: max(0, _FEW - failed + len(failures))]:
                sys.stdout.write(told(seed, wrong))
            if monotonic_seconds() - told_at > _TELL_EVERY_SECONDS or ran == len(numbers):
                told_at = monotonic_seconds()
                rate = ran / (told_at - began_at)
                sys.stdout.write(f"{ran} of {len(numbers)} seeds, {failed} failed, {rate:.0f} a second\n")
                sys.stdout.flush()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
