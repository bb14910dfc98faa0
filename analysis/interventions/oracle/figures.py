"""What the parts of a network cost in AP: the budget from predicted to ground-truth masks, and noise on the coefficients."""

from __future__ import annotations

import math

import matplotlib
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.picture import Picture
from analysis.figures.style import GROUND, INK, MARKERS, OKABE_ITO, REFERENCE, house_style, legend, new_figure, seeds
from analysis.interventions.oracle.read import ON, budget, budget_answer, noise
from analysis.results.experiment import Experiment

_FILLS = (("#7f8790", ""), (OKABE_ITO[0], ""), (OKABE_ITO[4], "//"), (OKABE_ITO[2], "\\\\"), (GROUND, "..."))
"""Colour and hatching of each part of the budget, so that colour is never the only sign."""


@house_style
def oracle_budget(experiment: Experiment) -> Picture:
    """The mask AP as predicted and what each part costs, stacked to 100, with their intervals below.

    Raises:
        MissingResult: a step was not measured.
    """
    frame = budget(experiment)
    figure = new_figure(3.6)
    top, bottom = figure.subplots(2, 1, height_ratios=[0.55, 1])
    start = 0.0
    for row, (colour, hatch) in zip(frame.itertuples(), _FILLS, strict=True):
        edge = INK if colour == GROUND else GROUND
        top.barh(0, row.gain, left=start, color=colour, hatch=hatch, edgecolor=edge, linewidth=0.8, label=row.label)
        if row.gain > 4:
            text = top.text(start + row.gain / 2, 0, f"{row.gain:.1f}", ha="center", va="center", fontsize=9.5)
            text.set_bbox({"facecolor": GROUND, "edgecolor": "none", "pad": 1.5})
        start += row.gain
    top.set(xlim=(0, 100), xlabel="mask AP (%)", yticks=[])
    top.spines["left"].set_visible(False)
    _draw_gains(bottom, frame[frame["low"].notna()])
    handles, labels = top.get_legend_handles_labels()
    legend(figure, handles, labels)
    caption = (
        f"Mask AP (COCO, IoU .50:.95) on {experiment.data}, scale {experiment.scale}: of the masks as predicted, and what is "
        "gained when ground truth takes the place of one part after the other in every detection that finds an object "
        "(box IoU ≥ .5, same class): the coefficients by the best on the same prototypes, the prototypes by any at their "
        "resolution, the mask as a whole; the rest to 100 is the detector's. Means over seeds "
        f"({seeds(frame['n'])}). Below: each gain with its 95 % interval (paired bootstrap over images) and single standard "
        "deviations over seeds as a pale band."
    )
    return Picture("oracle_budget", figure, caption, budget_answer(experiment), frame)


@house_style
def accuracy_against_noise(experiment: Experiment) -> Picture:
    """Mask AP over the standard deviation of noise on the coefficients, a line for all and for one, a panel for each k.

    Raises:
        MissingResult: no network was evaluated with noise and without.
    """
    frame = noise(experiment)
    counts = sorted(frame["k"].unique())
    figure = new_figure(3.9)
    panels = figure.subplots(1, len(counts), sharey=True, sharex=True, squeeze=False)[0]
    for axes, k in zip(panels, counts, strict=True):
        for place, (on, words) in enumerate(ON.items()):
            own = frame[(frame["k"] == k) & (frame["on"] == on)]
            if len(own):
                bars = [own["change"] - own["low"], own["high"] - own["change"]]
                axes.errorbar(own["std"], own["mean"], yerr=bars, color=OKABE_ITO[place], marker=MARKERS[place], capsize=3,
                              linestyle=("-", "--")[place], markersize=6, elinewidth=1, label=words)  # fmt: skip
        axes.set(xlabel="standard deviation of the noise", title=f"k = {k}")
        axes.grid()
    panels[0].set(ylabel="mask AP (%)")
    panels[0].set_ylim(bottom=0)
    legend(figure, *panels[0].get_legend_handles_labels())
    caption = (
        f"Mask AP (COCO, IoU .50:.95) on {experiment.data}, scale {experiment.scale}, when normal noise is added to the "
        "coefficients of every detection, all of them or one drawn per detection (tanh gives coefficients in -1..1; noisy ones "
        f"may leave that range). Means over seeds ({seeds(frame['n'])}); bars are the 95 % interval of the paired change "
        "against no noise (bootstrap over images)."
    )
    return Picture("accuracy_against_noise", figure, caption, noise_answer(frame), frame)


def noise_answer(frame: pd.DataFrame) -> str:
    """In words, what the strongest noise leaves, for each k and each way.

    Args:
        frame: of `analysis.interventions.oracle.read.noise`.
    """
    worst = frame.loc[frame.groupby(["k", "on"])["std"].idxmax()]
    return "Mask AP: " + " ".join(
        f"k = {row.k}, noise of {row.std:g} {ON[str(row.on)]}: {row.mean:.1f} %, {row.change:+.1f} points."
        for row in worst.itertuples()
    )


def _draw_gains(axes: Axes, frame: pd.DataFrame) -> None:
    """Each gain with its interval, and ± one standard deviation over seeds behind it."""
    fills = {part: colour for part, (colour, _) in zip(("coefficients", "prototypes", "crop"), _FILLS[1:4], strict=True)}
    for place, row in enumerate(frame.itertuples()):
        colour = fills[row.part]
        if not math.isnan(row.sd):
            axes.barh(place, 2 * row.sd, left=row.gain - row.sd, height=0.45, color=matplotlib.colors.to_rgba(colour, 0.25))
        axes.errorbar(row.gain, place, xerr=[[row.gain - row.low], [row.high - row.gain]], fmt=MARKERS[place], color=colour,
                      capsize=4, markersize=7)  # fmt: skip
    axes.set_yticks(range(len(frame)), frame["label"])
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.axvline(0, color=REFERENCE, linewidth=0.9)
    axes.set(xlabel="gain of mask AP (points)")
    axes.grid(axis="x")
