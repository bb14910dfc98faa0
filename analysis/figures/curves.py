"""Curves: the loss over training, and precision over recall."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from analysis.figures.picture import Picture
from analysis.figures.style import colours, dashes, house_style, legend, new_figure, seeds, spaced
from analysis.results.experiment import Experiment, MissingResult

_NOT_TERMS = ("iteration", "lr")


def read_losses(experiment: Experiment) -> pd.DataFrame:
    """The loss curves of every finished training, once each: columns variant (the first that uses it), seed, iteration, lr,
    loss and its terms.

    Raises:
        MissingResult: no training is finished.
    """
    frames = []
    for _, kind, runs in experiment.stages():
        if kind != "train":
            continue
        variant, seed = next((run for run in runs if run[0] == experiment.reference), runs[0])
        try:
            frame = pd.read_csv(experiment.path(variant, seed, "train", "losses.csv"))
        except (MissingResult, pd.errors.ParserError, pd.errors.EmptyDataError):
            continue  # the list of what is missing names it
        frames.append(frame.assign(variant=variant, seed=seed))
    if not frames:
        raise MissingResult("no training is finished")
    return pd.concat(frames, ignore_index=True)


@house_style
def losses(experiment: Experiment) -> Picture:
    """The loss and its terms over training, a line per training of different networks: mean and range over seeds.

    Raises:
        MissingResult: no training is finished.
    """
    frame = read_losses(experiment)
    terms = [name for name in frame.columns if name not in (*_NOT_TERMS, "variant", "seed")]
    rows = math.ceil(len(terms) / 2)
    figure = new_figure(0.7 + 2.1 * rows)
    panels = figure.subplots(rows, 2, sharex=True, squeeze=False).ravel()
    for axes, term in zip(panels, terms, strict=False):
        for name in experiment.colour_order:
            own = frame[frame["variant"] == name]
            if not own.empty and own[term].notna().any():
                _draw_term(axes, experiment, name, own.groupby("iteration")[term])
        axes.set(title="sum of all terms" if term == "loss" else f"term: {term}", ylabel="loss")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid()
    for axes in panels[len(terms) :]:
        axes.set_visible(False)
    for axes in panels[len(terms) - 2 : len(terms)]:
        axes.set_xlabel("iteration")
        axes.tick_params(labelbottom=True)
    legend(figure, *panels[0].get_legend_handles_labels())
    caption = (
        f"Training loss, weighted as it is minimised, on the training images of {experiment.data_name}, scale "
        f"{experiment.scale}: mean over seeds and their range ({_seeds(frame)}). Variants that share a training have one line. "
        "Logarithmic axis."
    )
    last = frame.sort_values("iteration").groupby(["variant", "seed"])["loss"].last().groupby("variant").mean()
    alt = "Training loss falls over the iterations. At the end: " + ", ".join(f"{k} {v:.2f}" for k, v in last.items())
    return Picture("losses", figure, caption, alt, frame)


@house_style
def precision_recall(experiment: Experiment, variants: tuple[str, ...]) -> Picture:
    """Precision over recall of masks at IoU .50 and .75, averaged over classes and seeds.

    Args:
        variants: which to draw, such as the best and the reference.

    Raises:
        MissingResult: none of them is measured.
    """
    measured = [frame for name in dict.fromkeys(variants) for frame in _curves(experiment, name)]
    if not measured:
        raise MissingResult("no precision-recall curve was measured")
    curves = pd.concat(measured, ignore_index=True)
    figure = spaced(new_figure(3.6))
    for axes, iou in zip(figure.subplots(1, 2, sharey=True), ("0.50", "0.75"), strict=True):
        for name in dict.fromkeys(variants):
            own = curves[(curves["variant"] == name) & (curves["iou"] == iou)]
            if not own.empty:
                _draw_term(axes, experiment, name, own.groupby("recall")["precision"])
        axes.set(title=f"IoU ≥ {iou[1:]}", xlabel="recall", xlim=(0, 1), ylim=(0, 1.03))
        axes.grid()
        axes.set_ylabel("precision" if iou == "0.50" else "")
    legend(figure, *figure.axes[0].get_legend_handles_labels())
    caption = (
        f"Precision over recall of masks on {experiment.data}, scale {experiment.scale}, interpolated as COCO does and "
        f"averaged over classes: mean and range over seeds ({_seeds(curves)})."
    )
    areas = curves.groupby(["variant", "iou"])["precision"].mean()
    alt = "Mean precision: " + ", ".join(f"{name} at IoU {iou}: {area:.2f}" for (name, iou), area in areas.items())
    return Picture("precision_recall", figure, caption, alt, curves)


def _curves(experiment: Experiment, variant: str) -> list[pd.DataFrame]:
    """Columns variant, seed, iou, recall, precision: a frame per seed and IoU that was measured."""
    frames = []
    for seed in experiment.seeds_of(variant):
        try:
            found = experiment.read(variant, seed, "coco", "curves.json")["segm"]
        except (MissingResult, KeyError):
            continue
        for iou, precision in found["precision"].items():
            frames.append(pd.DataFrame({"variant": variant, "seed": seed, "iou": iou, "recall": found["recall"],
                                        "precision": precision}))  # fmt: skip
    return frames


def _draw_term(axes: Axes, experiment: Experiment, name: str, values) -> None:
    """A line through the mean over seeds and the range as a band; `values` is grouped by the horizontal axis."""
    mean, low, high = values.mean(), values.min(), values.max()
    x = np.asarray(mean.index, dtype=float)
    colour = colours(experiment)[name]
    points = "." if len(x) < 10 else ""  # a line through one point is invisible
    label = experiment.variant(name).label
    axes.plot(x, mean, marker=points, color=colour, linestyle=dashes(experiment, name), label=label)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def _seeds(frame: pd.DataFrame) -> str:
    return seeds(frame.groupby("variant")["seed"].nunique())
