"""Parts of the benchmarks' figures: curves and bars with quartiles, in the house style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from analysis.figures.style import INK, MARKERS, OKABE_ITO, SPARE

Rows = Sequence[Mapping[str, Any]]


def curves(axes: Axes, rows: Rows, x: str, by: str) -> None:
    """Median milliseconds against column `x`: for each value of column `by` a curve and its quartiles."""
    for index, name in enumerate(dict.fromkeys(row[by] for row in rows)):
        own = [row for row in rows if row[by] == name]
        place, colour = [row[x] for row in own], OKABE_ITO[index % len(OKABE_ITO)]
        axes.fill_between(place, [row["p25_ms"] for row in own], [row["p75_ms"] for row in own], color=colour, alpha=0.2, lw=0)
        axes.plot(place, [row["median_ms"] for row in own], color=colour, marker=MARKERS[index % len(MARKERS)], label=name)
    axes.grid()


def stacked(axes: Axes, bars: Mapping[str, Mapping[str, float]], labels: Mapping[str, str] | None = None) -> None:
    """A horizontal bar for each of `bars`, the first on top, made of its parts in milliseconds.

    A part has one colour in every bar, and a line of the legend in the order of first appearance.

    Args:
        labels: {bar: what is written behind it}.
    """
    parts = list(dict.fromkeys(part for own in bars.values() for part in own))
    colours = dict(zip(parts, (*OKABE_ITO, *SPARE), strict=False))
    if len(colours) < len(parts):
        raise ValueError(f"there are {len(parts)} parts and {len(colours)} colours")
    for place, (name, own) in enumerate(bars.items()):
        left = 0.0
        for part, length in own.items():
            axes.barh(place, length, 0.7, left=left, color=colours[part])
            left += length
        axes.annotate(f" {(labels or {}).get(name, '')}", (left, place), va="center", fontsize=9)
    _rows(axes, list(bars))
    axes.legend(
        [Patch(color=colours[part]) for part in parts], parts, ncols=len(parts), fontsize=8, handlelength=1, columnspacing=1.2,
        loc="lower left", bbox_to_anchor=(0, 1),
    )  # fmt: skip


def grouped(axes: Axes, rows: Rows, group: str, by: str, unit: str = "ms") -> None:
    """Horizontal bars of median times with quartiles: rows of the same column `group` together, coloured by column `by`.

    Args:
        rows: with `ratio`, where it is to be written behind the time.
        unit: what is shown, ms or s.
    """
    groups, kinds = ([*dict.fromkeys(row[column] for row in rows)] for column in (group, by))
    height, scale = 0.8 / len(kinds), {"ms": 1, "s": 1000}[unit]
    for index, kind in enumerate(kinds):
        own = [row for row in rows if row[by] == kind]
        places = [groups.index(row[group]) + (index - (len(kinds) - 1) / 2) * height for row in own]
        low, middle, high = ([row[name] / scale for row in own] for name in ("p25_ms", "median_ms", "p75_ms"))
        spread = [[m - a for m, a in zip(middle, low, strict=True)], [b - m for m, b in zip(middle, high, strict=True)]]
        axes.barh(places, middle, height, xerr=spread, color=OKABE_ITO[index], ecolor=INK, label=kind)
        for place, row, length, end in zip(places, own, middle, high, strict=True):
            beside = f", {row['ratio']:.2f} ×" if row.get("ratio") else ""
            axes.annotate(f" {_short(length)} {unit}{beside}", (end, place), va="center", fontsize=9)
    _rows(axes, groups)
    axes.set_xlabel(f"time ({unit}, median and quartiles)")
    axes.legend(ncols=len(kinds), fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
