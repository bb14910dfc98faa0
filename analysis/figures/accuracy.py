"""Precision per variant: with its change beside the paper's, and by size of object."""

from __future__ import annotations

import math
import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.figures.picture import Picture
from analysis.figures.style import (
    GROUND,
    INK,
    REFERENCE,
    colours,
    house_style,
    label_rows,
    legend,
    marker,
    new_figure,
    seeds,
    spaced,
)
from analysis.results.experiment import Experiment, MissingResult
from experiments.store.metrics import Metric

SIZES = {"APs": "small\n(< 32² px)", "APm": "medium\n(32² to 96² px)", "APl": "large\n(> 96² px)"}
"""COCO's area ranges, in pixels of the original image."""


@house_style
def accuracy(experiment: Experiment, table: pd.DataFrame, numbers: pd.DataFrame) -> Picture:
    """The first headline metric of every variant with its seeds, and its change beside the paper's change.

    Args:
        table: of `tables.summary`.
        numbers: of `tables.tidy`.

    Raises:
        MissingResult: no variant has it.
    """
    metric = experiment.metrics[experiment.headline[0]]
    rows = measured(table, metric.name)
    names = rows["variant"].tolist()
    figure = spaced(new_figure(1.5 + 0.42 * len(names)))
    left, right = figure.subplots(1, 2, sharey=True)
    single = numbers[numbers["metric"] == metric.name]
    for place, row in enumerate(rows.itertuples()):
        colour, sign = colours(experiment)[row.variant], marker(experiment, row.variant)
        own = single[single["variant"] == row.variant]["value"].dropna()
        left.plot(own, [place + 0.22] * len(own), "|", color=colour, markersize=7, markeredgewidth=1.4)
        spread = None if math.isnan(row.sd) else row.sd
        left.errorbar(row.mean, place, xerr=spread, fmt=sign, color=colour, capsize=4, markersize=7)
        _draw_change(right, place, row, colour, sign)
    reference = experiment.variant(experiment.reference).label
    left.set(xlabel=metric.heading, title="ours")
    right.set(
        xlabel=f"change of {metric.label}" + (f" ({metric.change_unit})" if metric.unit else ""),
        title=textwrap.fill(f"against {reference}", 28),
    )
    label_rows(left, experiment, names)
    right.grid(axis="x")
    right.tick_params(axis="y", length=0)
    right.spines["left"].set_visible(False)
    right.axvline(0, color=REFERENCE, linewidth=0.9)
    if not rows["change"].notna().any():
        right.set_xticks([])
        right.text(0.5, 0.5, "nothing to compare", transform=right.transAxes, ha="center", va="center", fontsize=9)
    figure.legend(handles=_signs(rows), loc="outside lower center", ncols=3)
    caption = (
        f"{words(metric)} on {experiment.data}, scale {experiment.scale}. Left: mean over seeds with the sample "
        f"standard deviation; ticks below are single seeds ({seeds(rows['n'])}). Right: paired change against the reference "
        "with its 95 % interval, beside the change that the paper prints for its own data."
    )
    alt = f"{words(metric)} in {metric.unit or 'numbers'}. " + " ".join(
        f"{row.label}: {row.mean:.{metric.decimals}f}." for row in rows.itertuples()
    )
    columns = ["variant", "mean", "sd", "n", "change", "low", "high", "method", "clearly", "paper", "paper_change"]
    return Picture("accuracy", figure, caption, alt, rows[columns])


@house_style
def accuracy_by_size(experiment: Experiment, table: pd.DataFrame) -> Picture:
    """AP by size of object for every variant, of masks or of boxes as in the headline; raises as `accuracy` does."""
    prefix = "box" if experiment.metrics[experiment.headline[0]].iou_type == "bbox" else "mask"
    rows = table[table["metric"].isin([f"{prefix}_{size}" for size in SIZES]) & table["mean"].notna()]
    if rows.empty:
        raise MissingResult("no variant has an AP by size of object")
    names = [name for name in experiment.colour_order if name in set(rows["variant"])]
    figure = new_figure(3.4)
    axes = figure.subplots()
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        own = rows[rows["variant"] == name].set_index("metric")
        for place, size in enumerate(SIZES):
            if f"{prefix}_{size}" not in own.index:
                continue
            row = own.loc[f"{prefix}_{size}"]
            error = None if math.isnan(row["sd"]) else row["sd"]
            axes.bar(place - 0.4 + (index + 0.5) * width, row["mean"], 0.9 * width, yerr=error, color=colours(experiment)[name],
                     ecolor=INK, capsize=2, error_kw={"linewidth": 1},
                     label=row["label"] if place == 0 else None)  # fmt: skip
    axes.set_xticks(range(len(SIZES)), list(SIZES.values()))
    axes.set(ylabel=f"{prefix} AP (%)")
    axes.grid(axis="y")
    legend(figure, *unique_legend(axes))
    caption = (
        f"{prefix.capitalize()} AP by size of object on {experiment.data}, scale {experiment.scale}: mean over seeds with the "
        f"sample standard deviation ({seeds(rows['n'])}). COCO's area ranges, in pixels of the original image."
    )
    values = [f"{row.label}, {experiment.metrics[row.metric].label}: {row.mean:.1f}." for row in rows.itertuples()]
    alt = f"{prefix.capitalize()} AP by size. {' '.join(values)}"
    return Picture("accuracy_by_size", figure, caption, alt, rows[["variant", "metric", "mean", "sd", "n"]])


def words(metric: Metric) -> str:
    """`Mask AP (COCO, IoU .50:.95)`."""
    text = metric.label[0].upper() + metric.label[1:]
    return f"{text} (COCO, IoU .50:.95)" if metric.iou_type and metric.coco_name == "AP" else text


def measured(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    rows = table[(table["metric"] == metric) & table["mean"].notna()]
    if rows.empty:
        raise MissingResult(f"no variant has a {metric}")
    return rows


def _draw_change(axes: Axes, place: int, row, colour: str, sign: str) -> None:
    if not math.isnan(row.change):
        error = None if math.isnan(row.low) else [[row.change - row.low], [row.high - row.change]]
        filled = colour if row.clearly else GROUND
        axes.errorbar(row.change, place, xerr=error, fmt=sign, color=colour, mfc=filled, capsize=4, markersize=7)
    if not math.isnan(row.paper_change):
        axes.plot(row.paper_change, place - 0.25, "*", color=INK, markersize=8)


def _signs(rows: pd.DataFrame) -> list[Line2D]:
    def sign(shape: str, label: str, fill: str = INK) -> Line2D:
        return Line2D([], [], color=INK, marker=shape, markerfacecolor=fill, linestyle="", label=label)

    signs = [sign("o", "clearly different"), sign("o", "not clearly", GROUND)]
    return [*signs, sign("*", "paper's change")] if rows["paper_change"].notna().any() else signs


def unique_legend(axes: Axes) -> tuple[list, list]:
    handles, labels = axes.get_legend_handles_labels()
    first = dict(reversed(list(zip(labels, handles, strict=True))))
    ordered = [label for label in dict.fromkeys(labels)]
    return [first[label] for label in ordered], ordered
