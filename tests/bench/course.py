"""The course of a soak: what was seen every few seconds, and what is to be said of it at the end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_LEAST_THROUGHPUT = 0.8
_MOST_GROWTH = 1.3
_SPARE_BYTES = 2_000_000
_MEGABYTE = 1e6

HEADER = ("s", "a second", "waiting", "commands MB", "indexes MB", "dead rows", "vacuums", "history MB", "worker MB")


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one moment.

    Attributes:
        done: how many commands had run.
        waiting: how many were enqueued and had not run.
        sizes: the bytes of the table of commands, of each of its indexes, of the history and of the worker.
        dead_rows: how many rows of the table of commands are dead, as far as Postgres knows.
        vacuums: how often autovacuum cleaned it.
    """

    seconds: float
    done: int
    waiting: int
    sizes: Mapping[str, int]
    dead_rows: int
    vacuums: int

    def row(self, before: "Sample | None") -> str:
        """Return it as a line of a table."""
        since = self.seconds - (before.seconds if before else 0.0)
        rate = (self.done - (before.done if before else 0)) / max(since, 1e-9)
        indexes = sum(size for name, size in self.sizes.items() if name not in (COMMANDS, HISTORY, WORKER))
        cells = [
            f"{self.seconds:.0f}",
            f"{rate:,.0f}",
            f"{self.waiting:,}",
            f"{self.sizes[COMMANDS] / _MEGABYTE:.1f}",
            f"{indexes / _MEGABYTE:.1f}",
            f"{self.dead_rows:,}",
            f"{self.vacuums}",
            f"{self.sizes[HISTORY] / _MEGABYTE:.1f}",
            f"{self.sizes[WORKER] / _MEGABYTE:.1f}",
        ]
        return line(cells)


COMMANDS = "the table of commands"
HISTORY = "the history"
WORKER = "the worker's memory"


def line(cells: Sequence[str]) -> str:
    """Return the cells of a line below each other's."""
    return "  ".join(cell.rjust(len(title)) for cell, title in zip(cells, HEADER, strict=True))


def verdicts(samples: Sequence[Sample]) -> Iterator[tuple[bool, str]]:
    """Yield what is so, and whether it is as it should be: thirds of the course are compared."""
    first, middle, last = _thirds(samples)
    ratio = _rate(last) / _rate(first)
    yield (
        ratio >= _LEAST_THROUGHPUT,
        f"throughput: {_rate(first):,.0f} a second in the first third, {_rate(last):,.0f} in the last: × {ratio:.2f}",
    )
    for name in samples[0].sizes:
        before, after = _most(middle, name), _most(last, name)
        yield (
            after <= _MOST_GROWTH * before + _SPARE_BYTES,
            f"{name}: at most {before / _MEGABYTE:,.1f} MB in the second third, {after / _MEGABYTE:,.1f} in the last",
        )


def _thirds(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples of each third of the time."""
    third = samples[-1].seconds / 3
    return [[each for each in samples if min(int(each.seconds / third), 2) == number] for number in range(3)]


def _rate(samples: Sequence[Sample]) -> float:
    return (samples[-1].done - samples[0].done) / (samples[-1].seconds - samples[0].seconds)


def _most(samples: Sequence[Sample], name: str) -> int:
    return max(sample.sizes[name] for sample in samples)
