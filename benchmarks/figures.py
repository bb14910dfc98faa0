"""What the benchmarks' pictures share: curves with quartiles, in the house style, written as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import MARKERS, OKABE_ITO, house_style
from yolact.files import written_aside

Rows = Sequence[Mapping[str, Any]]


def curves(axes: Axes, rows: Rows, x: str, by: str) -> None:
    """Median milliseconds against column `x`: for each value of column `by` a curve and its quartiles."""
    for index, name in enumerate(dict.fromkeys(row[by] for row in rows)):
        own = [row for row in rows if row[by] == name]
        place, colour = [row[x] for row in own], OKABE_ITO[index % len(OKABE_ITO)]
        axes.fill_between(place, [row["p25_ms"] for row in own], [row["p75_ms"] for row in own], color=colour, alpha=0.2, lw=0)
        axes.plot(place, [row["median_ms"] for row in own], color=colour, marker=MARKERS[index % len(MARKERS)], label=name)
    axes.grid()


@house_style
def save(path: Path, figure: Figure) -> None:
    """Write a PNG with a white ground."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, facecolor="white")
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(buffer.getvalue())
