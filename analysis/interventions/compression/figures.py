"""Compression: mask AP against the number of maps that masks are assembled from, without retraining."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.picture import Picture
from analysis.figures.style import INK, OKABE_ITO, REFERENCE, house_style, legend, new_figure, seeds
from analysis.interventions.compression.read import METHODS, NEARLY_ALL, compression, full_accuracy, prototypes_of
from analysis.results.experiment import Experiment

SHOWN_LOSS = 8
"""Points of AP; larger losses are left to the panel of the AP itself."""
_STYLES: dict[str, tuple[str, str, str]] = {"keep": (OKABE_ITO[1], "s", "--"), "project": (OKABE_ITO[0], "o", "-")}


@house_style
def accuracy_against_m(experiment: Experiment, table: pd.DataFrame) -> Picture:
    """Mask AP over the number of prototypes kept, and of components projected on, beside the AP with all.

    Args:
        table: of `tables.summary`.

    Raises:
        MissingResult: nothing was evaluated with fewer prototypes, or not with all.
    """
    frame, full, k = compression(experiment, table), full_accuracy(experiment, table), prototypes_of(experiment)
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2)
    _draw_full(left, full, k)
    right.axhline(0, color=REFERENCE, linewidth=1.2)
    for method in (name for name in METHODS if name in set(frame["method"])):
        own = frame[frame["method"] == method]
        colour, sign, line = _STYLES[method]
        style = {"color": colour, "marker": sign, "linestyle": line, "capsize": 3, "markersize": 5, "elinewidth": 1}
        left.errorbar(own["m"], own["mean"], yerr=own["sd"], label=METHODS[method], **style)
        right.errorbar(own["m"], own["change"], yerr=[own["change"] - own["low"], own["high"] - own["change"]], **style)
    for axes in (left, right):
        _count_maps(axes, sorted({*frame["m"], k}), k)
    left.set(ylabel="mask AP (%)", ylim=(-1, None), title="mask AP")
    right.set(ylabel="change against all (points)", ylim=(-SHOWN_LOSS, SHOWN_LOSS / 8), title="paired change, enlarged")
    legend(figure, *left.get_legend_handles_labels())
    caption = (
        f"Mask AP (COCO, IoU .50:.95) on {experiment.data}, scale {experiment.scale}, of the same networks when masks are "
        "assembled from m maps, chosen on training images, without retraining: the m most used prototypes with the "
        "coefficients of the others set to 0 (what those add on average is lost too), or the prototypes projected on their "
        "first m principal components about their mean. "
        f"Left: means over seeds with the sample standard deviation ({seeds(frame['n'])}), band: that of all prototypes. "
        f"Right: paired change against all prototypes with its 95 % interval (bootstrap over images), up to {SHOWN_LOSS} "
        "points of loss."
    )
    return Picture("accuracy_against_m", figure, caption, _alt(frame, full, k), frame)


def _draw_full(axes: Axes, full: pd.Series, k: int) -> None:
    axes.axhline(full["mean"], color=REFERENCE, linewidth=1.2, label=f"all {k} prototypes")
    axes.axhline(
        NEARLY_ALL * full["mean"], color=REFERENCE, linewidth=0.9, linestyle=":", label=f"{100 * NEARLY_ALL:.0f} % of that"
    )
    if not math.isnan(full["sd"]):
        axes.axhspan(full["mean"] - full["sd"], full["mean"] + full["sd"], color=INK, alpha=0.12, linewidth=0)


def _count_maps(axes: Axes, ticks: list[int], k: int) -> None:
    """An axis of numbers of maps, each twice as far as its half."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(m) for m in ticks])
    axes.minorticks_off()
    axes.set_xlabel(f"maps m, of k = {k} prototypes")
    axes.grid()


def _alt(frame: pd.DataFrame, full: pd.Series, k: int) -> str:
    said = [
        f"{METHODS[str(method)]}: " + ", ".join(f"{row.mean:.1f} with {row.m}" for row in own.itertuples())
        for method, own in frame.groupby("method", sort=False)
    ]
    return f"Mask AP in percent: {full['mean']:.1f} with all {k} prototypes. {'. '.join(said)}."
