"""The plot: runs in an environment of its own, reads the shares as JSON from stdin and writes an SVG."""

import json
import math
import sys
import textwrap

import matplotlib as mpl
from matplotlib import pyplot as plt

_OURS = "#2563eb"
_LIMIT = "#6b7280"
_PEERS = "#cbd5e1"
_WIDTH = 9
_ROW = 0.34
_TITLE = 1.0


def draw(panels: list[dict], path: str) -> None:
    """Draw one panel of bars for each scenario."""
    mpl.use("svg")
    # Text stays text; and the same figures are the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "durex"})
    heights = [len(panel["ratios"]) + 2 for panel in panels]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(_WIDTH, sum(heights) * _ROW + _TITLE),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        layout="constrained",
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        _bars(axis, panel)
    figure.savefig(path, metadata={"Date": None})


def _bars(axis: plt.Axes, panel: dict) -> None:
    names = list(panel["ratios"])[::-1]
    ratios = [panel["ratios"][name] for name in names]
    bars = axis.barh(names, ratios, color=[_colour(name, ratio) for name, ratio in zip(names, ratios, strict=True)])
    axis.bar_label(bars, labels=[f" {ratio:.2f}" for ratio in ratios], fontsize=9)
    better = "less is better" if panel["less_is_better"] else "more is better"
    axis.set_title(textwrap.fill(f"{panel['title']} ({better})", 90), fontsize=10, loc="left")
    axis.set_xlim(0, 1.15 * max(ratios))
    axis.set_xticks([])
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)


def _colour(name: str, ratio: float) -> str:
    if name.startswith("durex"):
        return _OURS
    return _LIMIT if math.isclose(ratio, 1) else _PEERS


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
