"""Figures: rounds of measurements, medians and spreads, ratios within a round, and the budgets they are held to."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Figures = Mapping[str, float]
Rounds = Mapping[str, Sequence[Figures]]
"""What each competitor reached in each round, by name of the figure."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A figure over all rounds: its median, least and most, and its ratio to the reference.

    The ratio is the median of the ratios within each round: what slows a machine down for a minute slows both.
    """

    median: float
    least: float
    most: float
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Budget:
    """What a figure must come to, in relation to another competitor's in the same scenario, or by itself.

    Attributes:
        bound: the least that is allowed, or the most if `is_most`.
    """

    text: str
    scenario: str
    who: str
    figure: str
    bound: float
    against: str | None = None
    is_most: bool = False

    def reached(self, results: Mapping[str, Rounds]) -> float | None:
        """Return what was reached; None if it was not measured."""
        rounds = results.get(self.scenario, {})
        mine, theirs = rounds.get(self.who), rounds.get(self.against or self.who)
        if not mine or not theirs:
            return None
        return _ratio(mine, theirs, self.figure) if self.against else _median(mine, self.figure)

    def is_held(self, reached: float) -> bool:
        """Whether it is enough."""
        return reached <= self.bound if self.is_most else reached >= self.bound


def summarise(rounds: Rounds, who: str, figure: str, reference: str) -> Summary:
    """Summarise a figure of one competitor."""
    values = [figures[figure] for figures in rounds[who]]
    others = rounds.get(reference)
    ratio = _ratio(rounds[who], others, figure) if others and all(each.get(figure) for each in others) else None
    return Summary(statistics.median(values), min(values), max(values), ratio)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all stays at or below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _ratio(mine: Sequence[Figures], theirs: Sequence[Figures], figure: str) -> float:
    return statistics.median(one[figure] / other[figure] for one, other in zip(mine, theirs, strict=False))


def _median(rounds: Sequence[Figures], figure: str) -> float:
    return statistics.median(figures[figure] for figures in rounds)
