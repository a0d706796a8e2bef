"""The figure of the documentation: CPU per request over the bare route, by store and route.

``python -m benchmarks.plot FIGURE.svg RUN.json ...`` draws what was measured before. Stores may come from several runs,
for each is compared within itself.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.report import Row

_STORES: Final = {"memory": "in memory", "mongodb": "MongoDB", "redis": "Redis"}
_ROUTES: Final = {"read": "read", "written": "read and written"}
_OURS: Final = "#1b6ca8"
_OTHERS: Final = "#9aa5b1"
_BY_HAND: Final = "#d9dee3"


def draw(measured: Sequence[Row], path: Path) -> None:
    """Draw the rows of 16 connections into an SVG file; needs matplotlib."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tornado_session", "font.size": 9})
    stores = [store for store in _STORES if any(row.group == store for row in measured)]
    heights = [len(_rows(measured, store, "read")) + 1.2 for store in stores]
    figure, axes = plt.subplots(
        len(stores),
        len(_ROUTES),
        figsize=(10, sum(heights) * 0.3 + 1),
        height_ratios=heights,
        sharex="row",
        squeeze=False,
        layout="constrained",
    )
    for line, store in zip(axes, stores, strict=True):
        for axis, route in zip(line, _ROUTES, strict=True):
            _bars(axis, _rows(measured, store, route), f"{_STORES[store]}: {_ROUTES[route]}")
    figure.supxlabel("server CPU per request over the bare route, µs (median of the rounds, and their range)")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _rows(measured: Sequence[Row], store: str, route: str) -> list[Row]:
    rows = [row for row in measured if (row.group, row.route, row.connections) == (store, route, 16)]
    return sorted(rows, key=lambda row: -row.over_bare)


def _bars(axis: Any, rows: Sequence[Row], title: str) -> None:
    colors = {"ours": _OURS, "peer": _OTHERS, "by hand": _BY_HAND}
    values = [row.over_bare for row in rows]
    errors = [
        [max(row.over_bare - row.over_bare_range[0], 0) for row in rows],
        [max(row.over_bare_range[1] - row.over_bare, 0) for row in rows],
    ]
    bars = axis.barh(
        [row.contender for row in rows],
        values,
        xerr=errors,
        color=[colors[row.kind] for row in rows],
        error_kw={"elinewidth": 0.8, "ecolor": "#555555"},
    )
    axis.bar_label(bars, labels=[f"{value:.0f}" for value in values], padding=6, fontsize=8)
    axis.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.15)


def main() -> None:
    path, *runs = map(Path, sys.argv[1:])
    draw([Row(**row) for run in runs for row in json.loads(run.read_text())["rows"]], path)


if __name__ == "__main__":
    main()
