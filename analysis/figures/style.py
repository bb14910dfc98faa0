"""The house style: one colour per variant in every figure, readable by colour-blind people, on light and dark pages."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.results.experiment import Experiment

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C7A00")
"""Okabe and Ito's palette without black (the text's colour), its yellow darkened to stay visible on white."""

INK = "#23282e"
"""Text and axes. Pages replace it by their own text colour, so it stands for nothing else."""
REFERENCE = INK
"""Lines that stand for a reference: no change, even odds, the whole network."""
GRID = "#d9dde1"
"""Grid lines, replaced by pages too."""

GROUND = "#fefefe"
"""Fillings in the colour of the page's ground, replaced by pages too."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")

WIDTH = 7.2
"""Inches. At the width of a page's column the letters come out at about the page's own size."""

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.linewidth": 1.8,
    "svg.fonttype": "path",
    "svg.hashsalt": "yolact-workbench",
}

P = ParamSpec("P")
T = TypeVar("T")


def house_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw with the house style, leaving matplotlib's global settings as they were."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context(_RC):
            return draw(*args, **kwargs)

    return styled


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure of its own, in inches, known to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def spaced(figure: Figure) -> Figure:
    """The figure with panels so far apart that the last number of one axis doesn't touch the first of the next."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(wspace=0.07)  # type: ignore[call-arg]
    return figure


METHODS = {"mask_rcnn": OKABE_ITO[1], "fc_mask": OKABE_ITO[2]}
"""Colours of the methods beside YOLACT, the same in every report; `OKABE_ITO[0]` is YOLACT's."""

SPARE = ("#7F7F7F", "#9467BD")
"""Lent when the palette is used up, so that a method's colour never stands for another."""

NAMES = {
    "yolact-400": OKABE_ITO[5], "smaller": OKABE_ITO[5],
    "r50": OKABE_ITO[4],
    "d53": OKABE_ITO[3],
    "yolact-700": OKABE_ITO[6], "larger": OKABE_ITO[6],
    "untrained": OKABE_ITO[4],
}  # fmt: skip
"""Colours of variants that several experiments share."""


def colours(experiment: Experiment) -> dict[str, str]:
    """The colour of each variant, the same in every figure, and the same for a method in every report.

    The first variant of a method, the reference before others, has the method's colour, and no other variant has it. The rest
    get what is left of the palette, or samples of cividis where that is not enough.
    """
    found: dict[str, str] = {}
    for name in experiment.colour_order:
        known = _known(experiment, name)
        if known and known not in found.values():
            found[name] = known
    if OKABE_ITO[0] not in found.values() and experiment.reference not in found:
        found[experiment.reference] = OKABE_ITO[0]
    others = [variant.name for variant in experiment.variants if variant.name not in found]
    taken = {*found.values(), *METHODS.values()}
    left = [colour for colour in (*OKABE_ITO, *SPARE) if colour not in taken]
    return found | dict(zip(others, left if len(others) <= len(left) else _samples(len(others)), strict=False))


def _known(experiment: Experiment, name: str) -> str | None:
    """The colour that belongs to this variant's method or name, if any."""
    changes = experiment.variant(name).changes
    method = changes.get("model.kind") or changes.get("model.mask_branch.kind")
    return METHODS.get(str(method), NAMES.get(name))


def _samples(n: int) -> list[str]:
    cividis = matplotlib.colormaps["cividis"]
    return [matplotlib.colors.to_hex(cividis(0.1 + 0.8 * index / (n - 1))) for index in range(n)]


def marker(experiment: Experiment, variant: str) -> str:
    """A marker per variant, so that colour is never the only sign."""
    return MARKERS[experiment.colour_order.index(variant) % len(MARKERS)]


def dashes(experiment: Experiment, variant: str) -> str:
    """A line style per variant."""
    return DASHES[experiment.colour_order.index(variant) % len(DASHES)]


def label_rows(axes: Axes, experiment: Experiment, names: list[str]) -> None:
    """Variants as rows from the top, with a light line for each."""
    axes.set_yticks(range(len(names)), [textwrap.fill(experiment.variant(name).label, 26) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", linewidth=0.5)
    axes.grid(axis="x")


def legend(figure: Figure, handles: list, labels: list[str]) -> None:
    """A legend above the panels, in as many columns as its longest label allows."""
    inches = 0.75 + 0.075 * max(map(len, labels), default=0)
    figure.legend(handles, labels, loc="outside upper left", ncols=max(1, int(figure.get_figwidth() / inches)))


def seeds(counts: pd.Series) -> str:
    """`n = 3 seeds`, `n = 2 to 3 seeds`, or loudly one."""
    low, high = counts.min(), counts.max()
    if high == 1:
        return "ONE seed, hence no spread"
    return f"n = {low} seeds" if low == high else f"n = {low} to {high} seeds"
